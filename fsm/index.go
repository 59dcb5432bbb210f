package fsm

import "github.com/tidwall/btree"

// lesser orders the keys of an index.
type lesser[K any] interface {
	comparable
	less(K) bool
}

// newIndex returns an empty ordered set of keys. It has no lock: only the goroutine that
// applies writes, and it hands out copies.
func newIndex[K lesser[K]]() *btree.BTreeG[K] {
	return btree.NewBTreeGOptions(func(a, b K) bool { return a.less(b) }, btree.Options{NoLocks: true, Degree: nodeDegree})
}

// move replaces the key of a record in an index; a record may have none before or after.
func move[K lesser[K]](t *btree.BTreeG[K], before K, had bool, after K, has bool) {
	if had && has && before == after {
		return
	}
	if had {
		t.Delete(before)
	}
	if has {
		t.Set(after)
	}
}

// ownKey finds the records of one owner, in the order of their ids.
type ownKey struct{ owner, id string }

func (k ownKey) less(o ownKey) bool {
	if k.owner != o.owner {
		return k.owner < o.owner
	}
	return k.id < o.id
}

// liveKey finds the records of one owner, those that have not ended first.
type liveKey struct {
	owner string
	ended bool
	id    string
}

func (k liveKey) less(o liveKey) bool {
	if k.owner != o.owner {
		return k.owner < o.owner
	}
	if k.ended != o.ended {
		return !k.ended
	}
	return k.id < o.id
}

// changeKey finds what changed of one owner's records after an index.
type changeKey struct {
	owner    string
	modified uint64
	id       string
}

func (k changeKey) less(o changeKey) bool {
	if k.owner != o.owner {
		return k.owner < o.owner
	}
	if k.modified != o.modified {
		return k.modified < o.modified
	}
	return k.id < o.id
}

// ageKey orders records by a tick or an index.
type ageKey struct {
	at int64
	id string
}

func (k ageKey) less(o ageKey) bool {
	if k.at != o.at {
		return k.at < o.at
	}
	return k.id < o.id
}

// oldest returns the first key of an index ordered by age, if that is at or before limit.
func oldest(t *btree.BTreeG[ageKey], limit int64) (string, bool) {
	k, ok := t.Min()
	if !ok || k.at > limit {
		return "", false
	}
	return k.id, true
}
