package fsm

import "github.com/grafos/grafos/fsm/internal/cow"

// set is an ordered set of keys.
type set[K cow.Key[K]] = cow.Tree[K, struct{}]

// lesser orders the keys of an index.
type lesser[K any] interface {
	comparable
	cow.Key[K]
}

// move replaces the key of a record in an index; a record may have none before or after.
func move[K lesser[K]](e cow.Edit, t *set[K], before K, had bool, after K, has bool) {
	if had && has && before == after {
		return
	}
	if had {
		t.Delete(e, before)
	}
	if has {
		t.Set(e, after, struct{}{})
	}
}

// text orders records by a text.
type text string

// Less orders texts by their bytes.
func (k text) Less(o text) bool { return k < o }

// serial orders records by a number that is never used again: leases by their epochs.
type serial uint64

// Less orders the older record first.
func (k serial) Less(o serial) bool { return k < o }

// tickKey finds leases by a tick, or by the index of their last change.
type tickKey struct {
	at    uint64
	epoch serial
}

// Less orders by time, and by epoch where that is the same.
func (k tickKey) Less(o tickKey) bool {
	if k.at != o.at {
		return k.at < o.at
	}
	return k.epoch < o.epoch
}

// runKey finds the leases of a run, the oldest first.
type runKey struct {
	run   string
	epoch serial
}

// Less orders by run, and by epoch within one.
func (k runKey) Less(o runKey) bool {
	if k.run != o.run {
		return k.run < o.run
	}
	return k.epoch < o.epoch
}

// ownKey finds the records of one owner, in the order of their ids.
type ownKey struct{ owner, id string }

// Less orders by owner, and by id within one.
func (k ownKey) Less(o ownKey) bool {
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

// Less orders by owner, then the live ones before the ended ones, then by id.
func (k liveKey) Less(o liveKey) bool {
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

// Less orders by owner, then by the index of the change, then by id.
func (k changeKey) Less(o changeKey) bool {
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

// Less orders by time, and by id where that is the same.
func (k ageKey) Less(o ageKey) bool {
	if k.at != o.at {
		return k.at < o.at
	}
	return k.id < o.id
}

// oldest returns the first key of an index ordered by age, if that is at or before limit.
func oldest(t *set[ageKey], limit int64) (string, bool) {
	k, _, ok := t.Min()
	if !ok || k.at > limit {
		return "", false
	}
	return k.id, true
}
