package fsm

import (
	"math"
	"sort"
	"sync"

	"github.com/grafos/grafos/api"
)

// DefaultEventRing is how many events a node holds for those who watch.
const DefaultEventRing = 16384

// ring holds the newest events. It is a node's memory, not state: a node that was restored
// from a snapshot has none of before.
type ring struct {
	mu     sync.Mutex
	events []api.Event // a circle once it is full
	start  int         // of the oldest
	limit  int
	// floor is the newest cursor that is no longer held, or never was.
	floor api.Cursor
}

func (r *ring) add(events []api.Event) {
	if len(events) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		if len(r.events) < r.limit {
			r.events = append(r.events, e)
			continue
		}
		r.floor = r.events[r.start].Cursor
		r.events[r.start] = e
		r.start = (r.start + 1) % r.limit
	}
}

// reset forgets everything up to and with the entry at index.
func (r *ring) reset(index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.start = nil, 0
	r.floor = api.Cursor{Index: index, Sub: math.MaxUint32}
}

// after returns at most limit events behind c, and whether some behind c are gone.
func (r *ring) after(c api.Cursor, limit int) (events []api.Event, gap bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := func(i int) api.Event { return r.events[(r.start+i)%len(r.events)] }
	from := sort.Search(len(r.events), func(i int) bool { return c.Before(at(i).Cursor) })
	for i := from; i < len(r.events) && len(events) < limit; i++ {
		events = append(events, at(i))
	}
	return events, c.Before(r.floor)
}
