package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
)

// For how long, in cluster time, what has ended is kept.
const (
	keepEnded = api.Tick(2 * time.Hour)
	keepBlobs = api.Tick(24 * time.Hour)
	// MaxEnded bounds the ended leases that are kept, and likewise the finalised runs: above
	// it the oldest go before their time, so that a burst cannot fill the memory.
	MaxEnded = 200_000
	// MaxKeys bounds the idempotency keys in the same way, and strictly.
	MaxKeys = 1_000_000
)

// prune forgets, of each table, at most limit records whose time is over.
func (s *State) prune(limit int) {
	now := int64(s.meta.Now)
	for range limit {
		id, ok := oldest(s.leases.ended, s.ageLimit(s.leases.ended.Len()))
		if !ok {
			break
		}
		l, _ := s.Lease(api.LeaseID(id))
		s.leases.drop(l)
		s.note(tableLeases, id, nil)
	}
	for range limit {
		id, ok := oldest(s.runs.ended, s.ageLimit(s.runs.ended.Len()))
		if !ok {
			break
		}
		r, _ := s.Run(api.RunID(id))
		s.runs.drop(r)
		s.note(tableRuns, id, nil)
	}
	for range limit {
		key, ok := oldest(s.keys.age, now-int64(keepKeys))
		if !ok {
			break
		}
		s.forgetKey(key)
	}
	for range limit {
		jti, ok := oldest(s.tokens.age, now)
		if !ok {
			break
		}
		r, _ := s.Token(jti)
		s.tokens.drop(r)
		s.note(tableTokens, jti, nil)
	}
	s.pruneBlobs(limit)
}

// ageLimit returns the tick of the youngest ended record that may be forgotten.
func (s *State) ageLimit(ended int) int64 {
	if ended > MaxEnded {
		return int64(s.meta.Now)
	}
	return int64(s.meta.Now - keepEnded)
}

// pruneBlobs forgets references that nobody used for a day. A blob that a run still names is
// in use: its reference starts afresh.
func (s *State) pruneBlobs(limit int) {
	for range limit {
		key, ok := oldest(s.blobs.age, int64(s.meta.Now-keepBlobs))
		if !ok {
			return
		}
		r, _ := s.blobs.byKey.Get(key)
		if _, used := s.runs.digests.Get(r.Digest); used {
			r.At = s.meta.Now
			s.putBlob(r)
			continue
		}
		s.blobs.drop(r)
		s.note(tableBlobs, key, nil)
	}
}
