package fsm

import (
	"hash/maphash"

	"github.com/grafos/grafos/fsm/internal/cow"
)

// keyTable is the idempotency keys and what became of them, by when they were used: the
// oldest are forgotten first.
type keyTable struct {
	seed  maphash.Seed
	byAge cow.Tree[useKey, keyRecord]
	byKey cow.Hash[useKey] // I3
}

// useKey says when a key was used: in which entry, and where in it.
type useKey struct {
	index uint64
	sub   uint32
}

// Less orders by time.
func (k useKey) Less(o useKey) bool {
	if k.index != o.index {
		return k.index < o.index
	}
	return k.sub < o.sub
}

func (r *IdemRecord) used() useKey { return useKey{r.Index, r.Sub} }

func newKeyTable() keyTable { return keyTable{seed: maphash.MakeSeed()} }

func (t *keyTable) hash(scope, key string) uint64 {
	return maphash.String(t.seed, key) ^ maphash.String(t.seed, scope)<<1
}

// is tells a key by when it was used.
func (t *keyTable) is(scope, key string) func(useKey) bool {
	return func(k useKey) bool {
		r, ok := t.byAge.Get(k)
		return ok && r.is(scope, key)
	}
}

func (t *keyTable) get(scope, key string) (keyRecord, bool) {
	at, ok := t.byKey.Get(t.hash(scope, key), t.is(scope, key))
	if !ok {
		return "", false
	}
	return t.byAge.Get(at)
}

// set stores r, whose compact form is rec. A key is used once: there is none before it.
func (t *keyTable) set(e cow.Edit, r *IdemRecord, rec keyRecord) {
	at := r.used()
	t.byAge.Set(e, at, rec)
	t.byKey.Set(e, t.hash(r.Scope, r.Key), at, func(k useKey) bool { return k == at })
}

func (t *keyTable) drop(e cow.Edit, r *IdemRecord) {
	at := r.used()
	t.byKey.Delete(e, t.hash(r.Scope, r.Key), func(k useKey) bool { return k == at })
	t.byAge.Delete(e, at)
}
