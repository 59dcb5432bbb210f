package control

import (
	"slices"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
)

// bindings are the leases whose binding somebody waits for, so that one report wakes each
// request once, when it has all that it waits for. A waiter is only ever told to look again:
// what is so stands in the replicated state. Every leadCheck it is reminded of whatever else may
// have become of a lease or of this node's lead.
type bindings struct {
	mu    sync.Mutex
	open  map[api.LeaseID][]*waiter // guarded by mu
	order []*waiter                 // as they came; guarded by mu
	armed bool                      // the next reminder is set; guarded by mu
}

// waiter waits for some leases at once.
type waiter struct {
	left   int           // guarded by bindings.mu
	told   chan struct{} // closed when all of its leases were reported
	remind chan struct{} // holds one
}

func newBindings() *bindings { return &bindings{open: map[api.LeaseID][]*waiter{}} }

// expect registers a waiter for leases, before it looks at them.
func (b *bindings) expect(ids []api.LeaseID) *waiter {
	w := &waiter{left: len(ids), told: make(chan struct{}), remind: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		b.open[id] = append(b.open[id], w)
	}
	b.order = append(b.order, w)
	if !b.armed {
		b.armed = true
		time.AfterFunc(leadCheck, b.remind)
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
				close(w.told)
			}
		}
		delete(b.open, r.LeaseID)
	}
}

// remind reminds everybody who still waits, in the order in which they came.
func (b *bindings) remind() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = slices.DeleteFunc(b.order, func(w *waiter) bool { return w.left <= 0 })
	for _, w := range b.order {
		select {
		case w.remind <- struct{}{}:
		default:
		}
	}
	if b.armed = len(b.order) > 0; b.armed {
		time.AfterFunc(leadCheck, b.remind)
	}
}
