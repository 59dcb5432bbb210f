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

// What is forgotten is forgotten many at a time: to drop one record copies about as many nodes
// as to make one, to drop its neighbours with it few more.
const (
	// pruneStep bounds what one entry forgets of each table, so that no entry takes long. One
	// that grants more forgets more: whoever adds also clears.
	pruneStep = 256
	// pruneSlack is by how much a table may be over its bound before it is brought back to it.
	pruneSlack = 256
	// pruneLate is for how much longer than it must be a record is kept, so that others join it.
	pruneLate = api.Tick(500 * time.Millisecond)
)

// prune forgets, of each table, at most limit records whose time is over.
func (s *State) prune(limit int) {
	s.pruneLeases(limit)
	s.pruneRuns(limit)
	s.pruneKeys(limit)
	for range limit {
		jti, ok := oldest(&s.tokens.age, int64(s.meta.Now))
		if !ok {
			break
		}
		s.dropToken(jti)
	}
	s.pruneBlobs(limit)
}

// over reports whether a record that ended at a tick is to be forgotten, being the oldest of
// n; begun says that others of its table just were.
func (s *State) over(at api.Tick, n int, begun bool) bool {
	late, slack := pruneLate, pruneSlack
	if begun {
		late, slack = 0, 0
	}
	return n > MaxEnded+slack || at <= s.meta.Now-keepEnded-late
}

func (s *State) pruneLeases(limit int) {
	for i := range limit {
		k, ok := s.leases.ended.Min()
		if !ok || !s.over(api.Tick(k.at), s.leases.ended.Len(), i > 0) {
			return
		}
		if i == 0 {
			s.leases.byID.Ahead(s.grown)
		}
		s.dropLease(k.epoch)
	}
}

func (s *State) pruneRuns(limit int) {
	for i := range limit {
		k, _, ok := s.runs.ended.Min()
		if !ok || !s.over(api.Tick(k.at), s.runs.ended.Len(), i > 0) {
			return
		}
		s.dropRun(api.RunID(k.id))
	}
}

func (s *State) pruneKeys(limit int) {
	late := pruneLate
	for range limit {
		_, rec, ok := s.keys.byAge.Min()
		if !ok || rec.at() > s.meta.Now-keepKeys-late {
			return
		}
		s.dropKey(rec)
		late = 0
	}
}

// makeRoom forgets the oldest idempotency keys where one more would be over the limit.
func (s *State) makeRoom() {
	if s.keys.byAge.Len() < s.keyLimit {
		return
	}
	most := s.keyLimit - 1 - min(pruneSlack, s.keyLimit/16)
	s.keys.byKey.Ahead(s.keys.byAge.Len() - most)
	for s.keys.byAge.Len() > most {
		_, oldest, _ := s.keys.byAge.Min()
		s.dropKey(oldest)
	}
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
