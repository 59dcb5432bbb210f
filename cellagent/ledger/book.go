package ledger

import (
	"maps"
	"slices"
	"strings"

	"github.com/grafos/grafos/api"
)

// endedMost bounds the ended leases that are remembered. Those at or below the floor need not be:
// nobody binds what is unknown there.
const endedMost = 4096

// book is what the lines of a ledger say, in memory.
type book struct {
	floor   Floor
	doubt   bool
	boot    string
	entries map[api.LeaseID]Entry
	ended   []api.LeaseID // oldest first; some of them are forgotten already
}

func newBook() *book { return &book{entries: map[api.LeaseID]Entry{}} }

// note takes an entry, unless more is known already.
func (b *book) note(e Entry) {
	known, ok := b.entries[e.Lease]
	if ok && !e.newer(&known) {
		return
	}
	if e.Phase == Ended {
		if e.Epoch <= b.floor.Epoch {
			delete(b.entries, e.Lease)
			return
		}
		b.ended = append(b.ended, e.Lease)
	}
	b.entries[e.Lease] = e
	for len(b.ended) > endedMost {
		b.forget(b.ended[0])
		b.ended = b.ended[1:]
	}
}

func (b *book) forget(id api.LeaseID) {
	if b.entries[id].Phase == Ended {
		delete(b.entries, id)
	}
}

// raise raises the floor, and forgets the ended leases below it.
func (b *book) raise(f Floor) {
	b.floor = b.floor.Raise(f)
	b.ended = slices.DeleteFunc(b.ended, func(id api.LeaseID) bool {
		e, ok := b.entries[id]
		below := !ok || e.Phase != Ended || e.Epoch <= b.floor.Epoch
		if below {
			b.forget(id)
		}
		return below
	})
}

// lift turns a fence into a lease that has ended.
func (b *book) lift(id api.LeaseID, epoch uint64) {
	if e, ok := b.entries[id]; ok && e.Phase == Fenced && e.Epoch == epoch {
		delete(b.entries, id)
		b.note(Entry{Lease: id, Epoch: e.Epoch, Generation: e.Generation, Phase: Ended})
	}
}

// in lists the entries in a phase, by lease.
func (b *book) in(p Phase) []Entry {
	list := make([]Entry, 0, len(b.entries))
	for _, e := range b.entries {
		if e.Phase == p {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(string(a.Lease), string(b.Lease)) })
	return list
}

// lines writes all of it.
func (b *book) lines() []byte {
	to := appendBoot(appendDoubt(appendFloor(nil, b.floor), b.doubt), b.boot)
	for _, id := range slices.Sorted(maps.Keys(b.entries)) {
		e := b.entries[id]
		to = appendEntry(to, &e)
	}
	return to
}
