package fsm

import (
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
	index uint64 // of the newest entry, whether it made events or not
}

func (r *ring) add(index uint64, events []api.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index = index
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
	r.events, r.start, r.index = nil, 0, index
	r.floor = api.EndOf(index)
}

// after returns at most limit events behind c.
func (r *ring) after(c api.Cursor, limit int) EventPage {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := func(i int) api.Event { return r.events[(r.start+i)%len(r.events)] }
	from := sort.Search(len(r.events), func(i int) bool { return c.Before(at(i).Cursor) })
	page := EventPage{Gap: c.Before(r.floor), Floor: r.floor, Through: api.EndOf(r.index)}
	if page.Through.Before(c) { // a place that this node has not come to
		page.Through = c
	}
	held := len(r.events) - from
	page.Events = make([]api.Event, min(held, limit))
	for i := range page.Events {
		page.Events[i] = at(from + i)
	}
	if n := len(page.Events); n < held {
		page.Through = c
		if n > 0 {
			page.Through = page.Events[n-1].Cursor
		}
	}
	return page
}
