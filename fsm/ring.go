package fsm

import (
	"cmp"
	"slices"
	"sort"
	"sync"

	"github.com/grafos/grafos/api"
)

// DefaultEventRing is how many events a node holds for those who watch.
const DefaultEventRing = 16384

// ring holds the newest events. It is a node's memory, not state: a node that was restored
// from a snapshot has none of before.
type ring struct {
	mu      sync.Mutex
	batches []eventBatch // of the entries that made events; those before start are forgotten
	start   int
	skip    int // events of the oldest batch that are forgotten
	held    int // events that are not
	limit   int
	size    int      // of a segment; 0 is segmentSize
	last    *segment // of the newest batch
	free    *segment // one that nothing is in any more
	// floor is the newest cursor that is no longer held, or never was.
	floor api.Cursor
	index uint64 // of the newest entry, whether it made events or not
}

// segment is memory that the batches of the ring are copied to, one behind the other. Most are
// never read, and used again when all of their events are forgotten: so that what comes and goes
// with every entry is no garbage.
type segment struct {
	data []byte
	read bool // somebody may still look at it
}

const segmentSize = 1 << 20

// room returns the segment that takes n bytes more.
func (r *ring) room(n int) *segment {
	switch s := r.last; {
	case s != nil && cap(s.data)-len(s.data) >= n:
	case r.free != nil && cap(r.free.data) >= n:
		r.last, r.free = r.free, nil
		r.last.data = r.last.data[:0]
	default:
		r.last = &segment{data: make([]byte, 0, max(n, cmp.Or(r.size, segmentSize)))}
	}
	return r.last
}

// keep returns a batch in memory of the ring.
func (r *ring) keep(b *eventBatch) eventBatch {
	s := r.room(len(b.data))
	from := len(s.data)
	s.data = append(s.data, b.data...)
	k := *b
	k.in, k.data = s, s.data[from:len(s.data):len(s.data)]
	return k
}

// add takes the events of the entry at index.
func (r *ring) add(index uint64, b *eventBatch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index = index
	if b.n == 0 {
		return
	}
	r.batches = append(r.batches, r.keep(b))
	r.held += b.n
	for r.held > r.limit {
		r.forget(r.held - r.limit)
	}
	if r.start > len(r.batches)/2 {
		kept := copy(r.batches, r.batches[r.start:])
		clear(r.batches[kept:])
		r.batches, r.start = r.batches[:kept], 0
	}
}

// forget forgets at most n of the oldest events, all of one entry.
func (r *ring) forget(n int) {
	oldest := &r.batches[r.start]
	n = min(n, oldest.n-r.skip)
	r.held -= n
	r.skip += n
	r.floor = api.Cursor{Index: oldest.index, Sub: uint32(r.skip - 1)}
	if r.skip < oldest.n {
		return
	}
	was := oldest.in
	*oldest = eventBatch{}
	r.start++
	r.skip = 0
	if was != r.last && !was.read && r.batches[r.start].in != was {
		r.free = was
	}
}

// reset forgets everything up to and with the entry at index.
func (r *ring) reset(index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches, r.start, r.skip, r.held, r.index = nil, 0, 0, 0, index
	r.last, r.free = nil, nil
	r.floor = api.EndOf(index)
}

// after returns at most limit events behind c.
func (r *ring) after(c api.Cursor, limit int) EventPage {
	page, batches, first, more := r.behind(c, limit)
	page.Events = []api.Event{}
	for i := range batches { // the events are made where nobody waits for the lock
		page.Events = batches[i].appendTo(page.Events, first, limit-len(page.Events))
		first = 0
	}
	if more {
		page.Through = c
		if n := len(page.Events); n > 0 {
			page.Through = page.Events[n-1].Cursor
		}
	}
	return page
}

// behind returns where at most limit events behind c are: the batches, and which is the first in
// the first of them; more says that there are others behind them.
func (r *ring) behind(c api.Cursor, limit int) (page EventPage, batches []eventBatch, first int, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	page = EventPage{Gap: c.Before(r.floor), Floor: r.floor, Through: api.EndOf(r.index)}
	if page.Through.Before(c) { // a place that this node has not come to
		page.Through = c
	}
	held := r.batches[r.start:]
	from := sort.Search(len(held), func(i int) bool { return c.Before(held[i].end()) })
	if from == len(held) {
		return page, nil, 0, false
	}
	if held[from].index == c.Index {
		first = int(c.Sub) + 1
	}
	if from == 0 {
		first = max(first, r.skip)
	}
	to, n := from, -first
	for ; to < len(held) && n < limit; to++ {
		n += held[to].n
	}
	for i := range held[from:to] {
		held[from+i].in.read = true
	}
	return page, slices.Clone(held[from:to]), first, n > limit || to < len(held)
}
