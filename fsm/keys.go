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
	byKey *cow.Index // I3: one for all views
}

// useKey says when a key was used: in which entry, and where in it.
type useKey uint64

// subBits are what a useKey has for the place in an entry: MaxCommands needs fewer.
const subBits = 16

// Less orders by time.
func (k useKey) Less(o useKey) bool { return k < o }

func (r *IdemRecord) used() useKey { return useKey(r.Index<<subBits | uint64(r.Sub)) }

// of reports whether k is the key of r: not where the place of r is none that there can be.
func (k useKey) of(r *IdemRecord) bool {
	return uint64(k)>>subBits == r.Index && r.Sub < 1<<subBits
}

func newKeyTable() keyTable { return keyTable{seed: maphash.MakeSeed(), byKey: new(cow.Index)} }

func (t *keyTable) hash(scope, key string) uint64 {
	return maphash.String(t.seed, key) ^ maphash.String(t.seed, scope)<<1
}

// get returns what became of a key in the table as it is after the entry at index now.
func (t *keyTable) get(scope, key string, now uint64) (found keyRecord, ok bool) {
	_, ok = t.byKey.Find(t.hash(scope, key), func(at uint64) bool {
		r, ok := t.byAge.Get(useKey(at))
		if !ok || !r.is(scope, key) {
			return false
		}
		found = r
		return true
	})
	if ok || t.byKey.Cleared() <= now {
		return found, ok
	}
	// The view is so old that the index has forgotten what the view has not.
	t.byAge.Scan(func(_ useKey, r keyRecord) bool {
		if ok = r.is(scope, key); ok {
			found = r
		}
		return !ok
	})
	return found, ok
}

// set stores r, whose compact form is rec. A key is used once: there is none before it.
func (t *keyTable) set(e cow.Edit, r *IdemRecord, rec keyRecord) {
	at := r.used()
	t.byAge.Set(e, at, rec)
	t.byKey.Add(t.hash(r.Scope, r.Key), uint64(at))
}

// drop removes r in the entry at index now.
func (t *keyTable) drop(e cow.Edit, r *IdemRecord, now uint64) {
	at := r.used()
	t.byKey.Remove(now, t.hash(r.Scope, r.Key), uint64(at))
	t.byAge.Delete(e, at)
}
