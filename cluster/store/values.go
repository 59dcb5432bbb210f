package store

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/grafos/grafos/cluster/store/disk"
)

// firstGeneration is that of a log in which no value was set yet, and of the values of the
// release before, which counted none.
const firstGeneration = 1

// values are the stable values: Raft's term and vote. Each carries the generation that it was
// written in; every write begins the next one.
type values struct {
	generation uint64
	held       map[string]value
}

type value struct {
	bytes      []byte
	generation uint64
}

// parseValues opens the values that were stored in file.
func parseValues(file string, stored map[string][]byte) (values, error) {
	v := values{generation: firstGeneration, held: map[string]value{}}
	for key, b := range stored {
		got, generation, err := openValue([]byte(key), b)
		if err != nil {
			return values{}, &CorruptError{File: file, Key: key, Why: err.Error()}
		}
		v.held[key] = value{got, generation}
		v.generation = max(v.generation, generation)
	}
	return v, nil
}

// with returns the values of the next generation, in which key has the value b.
func (v values) with(key string, b []byte) values {
	next := values{generation: v.generation + 1, held: maps.Clone(v.held)}
	next.held[key] = value{bytes.Clone(b), next.generation}
	return next
}

// sealedLen returns how much of a slot the values take, sealed.
func (v values) sealedLen() int {
	n := slotHeadLen
	for key, val := range v.held {
		n += 4 + len(key) + valueV2Len + len(val.bytes)
	}
	return n
}

// keys lists the keys in order.
func (v values) keys() []string { return slices.Sorted(maps.Keys(v.held)) }

// settledBefore reports whether every value but those of the newest generation is the same
// in old, which is of the generation before.
func (v values) settledBefore(old values) bool {
	for key := range old.held {
		if _, ok := v.held[key]; !ok {
			return false
		}
	}
	for key, mine := range v.held {
		theirs, ok := old.held[key]
		if mine.generation != v.generation && (!ok || !bytes.Equal(mine.bytes, theirs.bytes)) {
			return false
		}
	}
	return true
}

// equal reports whether both hold the same.
func (v values) equal(o values) bool {
	return maps.EqualFunc(v.held, o.held, func(a, b value) bool { return bytes.Equal(a.bytes, b.bytes) })
}

// reconcile compares the values in the log's file with their second copy in votes. The log
// is written first: it may be one generation ahead, after a crash between the two writes, and
// then behind is true. Anything else is damage, or a file in the place of an older one.
func reconcile(file, votes string, first values, second copied) (behind bool, err error) {
	switch {
	case first.generation < second.generation:
		return false, &CorruptError{File: file, Why: fmt.Sprintf(
			"its term and vote are of generation %d, their second copy is of %d: it is an older copy of itself", first.generation, second.generation)}
	case first.generation > second.generation+1:
		return false, &CorruptError{File: votes, Why: fmt.Sprintf(
			"its term and vote are of generation %d, the log has %d", second.generation, first.generation)}
	case first.generation == second.generation:
		if second.torn {
			return false, &CorruptError{File: votes, Why: "half of it is damaged"}
		}
		if !first.equal(second.values) {
			return false, &CorruptError{File: votes, Why: "its term and vote are not those of the log"}
		}
		return false, nil
	}
	if !first.settledBefore(second.values) {
		return false, &CorruptError{File: votes, Why: "its term and vote are not those that the log had before"}
	}
	return true, nil
}

// CorruptError says that something on disk is not what was written. It is never healed in
// place: the node stops.
type CorruptError = disk.CorruptError

// FullError says that a write found no room.
type FullError = disk.FullError
