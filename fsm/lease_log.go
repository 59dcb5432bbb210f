package fsm

import (
	"sync/atomic"

	"github.com/grafos/grafos/api"
)

// leaseLog is the newest changes of a cell's leases, oldest first: its session asks again and again
// what changed since it last looked. A change is appended and never moved; one that a later change of
// the same lease made void is passed over by who reads.
//
// Views share the pages: each knows how many changes were there when it was made, and they
// stay as they are. So to append copies nothing.
type leaseLog struct {
	page   *logPage
	n      int    // changes in page
	held   int    // changes in all pages
	floor  uint64 // every change after this index is held
	newest uint64
}

// logPage is a part of a log. The one before it goes when the log was cut there, also for older
// views, which count and find that something is missing.
type logPage struct {
	before  atomic.Pointer[logPage]
	changes [15]tickKey
}

// leastLog is how many changes a log holds at least before it is cut.
const leastLog = 256

// add appends the change of a lease at an index. keep is how many changes are worth to be held.
func (c *leaseLog) add(at uint64, epoch serial, keep int) {
	if at < c.newest { // out of a snapshot, whose leases come in another order
		*c = leaseLog{floor: c.newest, newest: c.newest}
		return
	}
	c.newest = at
	if c.page == nil || c.n == len(c.page.changes) {
		p := new(logPage)
		p.before.Store(c.page)
		c.page, c.n = p, 0
	}
	c.page.changes[c.n] = tickKey{at, epoch}
	c.n++
	c.held++
	if keep = max(keep, leastLog/2); c.held > 2*keep {
		c.cut(keep)
	}
}

// cut forgets all but the newest pages.
func (c *leaseLog) cut(keep int) {
	p, n := c.page, c.n
	for n < keep {
		p = p.before.Load()
		n += len(p.changes)
	}
	last := p.before.Load()
	if last == nil {
		return
	}
	c.floor, c.held = last.changes[len(last.changes)-1].at, n
	p.before.Store(nil)
}

// since visits the changes after an index, newest first; false when it does not hold all of them.
func (c *leaseLog) since(after uint64, visit func(tickKey)) bool {
	if after < c.floor {
		return false
	}
	left := c.held
	for p, n := c.page, c.n; p != nil; p, n = p.before.Load(), len(p.changes) {
		for ; n > 0; n-- {
			if p.changes[n-1].at <= after {
				return true
			}
			visit(p.changes[n-1])
			left--
		}
	}
	return left == 0
}

// changedOn lists the leases of a cell that are wanted, in any state, whose record changed after an
// index.
func (v *View) changedOn(use *cellUse, after uint64, want func(LeaseGlance) bool) (list []api.Lease) {
	last := tickKey{}
	known := use.log.since(after, func(k tickKey) {
		if k == last {
			return
		}
		last = k
		if r, ok := v.leases.byEpoch.Get(k.epoch); ok {
			if g := r.glance(); g.modified == k.at && want(g) {
				list = append(list, r.lease())
			}
		}
	})
	if known {
		return list
	}
	list = nil
	for _, in := range []*bitset[serial]{&use.held, &use.past} {
		in.Scan(func(epoch serial) bool {
			r, _ := v.leases.byEpoch.Get(epoch)
			if g := r.glance(); g.modified > after && want(g) {
				list = append(list, r.lease())
			}
			return true
		})
	}
	return list
}
