package control

import (
	"sync"
	"time"

	"github.com/grafos/grafos/api"
)

// bindings are the leases whose binding somebody waits for, so that one report wakes each
// request once, when it has all that it waits for. A waiter is only ever told to look again:
// what is so stands in the replicated state. It is told, too, every leadCheck, for whatever
// else may have become of a lease or of this node's lead.
type bindings struct {
	mu    sync.Mutex
	open  map[api.LeaseID][]*waiter // guarded by mu
	order []*waiter                 // since the last look, as they came; guarded by mu
	armed bool                      // the next look is set; guarded by mu
}

// waiter waits for some leases at once.
type waiter struct {
	left int           // guarded by bindings.mu
	look chan struct{} // closed when it is time to look
	told bool          // all of its leases were reported; set before look is closed
}

func newBindings() *bindings { return &bindings{open: map[api.LeaseID][]*waiter{}} }

// expect registers a waiter for leases, before it looks at them.
func (b *bindings) expect(ids []api.LeaseID) *waiter {
	w := &waiter{left: len(ids), look: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		b.open[id] = append(b.open[id], w)
	}
	b.order = append(b.order, w)
	if !b.armed {
		b.armed = true
		time.AfterFunc(leadCheck, b.all)
	}
	return w
}

// forget drops what a waiter still waits for.
func (b *bindings) forget(w *waiter, ids []api.LeaseID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.left <= 0 {
		return // it is in no list any more
	}
	for _, id := range ids {
		rest := b.open[id][:0]
		for _, other := range b.open[id] {
			if other != w {
				rest = append(rest, other)
			}
		}
		if len(rest) == 0 {
			delete(b.open, id)
		} else {
			b.open[id] = rest
		}
	}
	w.left = 0
}

// told wakes those who have all that they wait for, now that a report of these is committed.
func (b *bindings) told(reports []api.BoundReport) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range reports {
		for _, w := range b.open[r.LeaseID] {
			if w.left--; w.left == 0 {
				w.told = true
				close(w.look)
			}
		}
		delete(b.open, r.LeaseID)
	}
}

// all has everybody look, in the order in which they came.
func (b *bindings) all() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.order {
		if w.left > 0 {
			w.left = 0
			close(w.look)
		}
	}
	clear(b.open)
	b.order, b.armed = nil, false
}
