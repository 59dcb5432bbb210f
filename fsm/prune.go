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
		k, _, ok := s.leases.ended.Min()
		if !ok || int64(k.at) > s.ageLimit(s.leases.ended.Len()) {
			break
		}
		s.dropLease(k.epoch)
	}
	for range limit {
		id, ok := oldest(&s.runs.ended, s.ageLimit(s.runs.ended.Len()))
		if !ok {
			break
		}
		s.dropRun(api.RunID(id))
	}
	for range limit {
		_, rec, ok := s.keys.byAge.Min()
		if !ok || rec.at() > s.meta.Now-keepKeys {
			break
		}
		s.dropKey(rec)
	}
	for range limit {
		jti, ok := oldest(&s.tokens.age, now)
		if !ok {
			break
		}
		s.dropToken(jti)
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
		key, ok := oldest(&s.blobs.age, int64(s.meta.Now-keepBlobs))
		if !ok {
			return
		}
		r, _ := s.blobs.byKey.Get(key)
		if s.runs.digests.Get(r.Digest) > 0 {
			r.At = s.meta.Now
			s.putBlob(r)
			continue
		}
		s.dropBlob(r)
	}
}
