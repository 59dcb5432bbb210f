package sim

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
)

// custody is what one agent was given, until when, and what it heard of its end, as it came to
// it over the network: what the agent does is held against it (L6, L7). Its times are those of
// the machine's own clock.
type custody struct {
	host *host
	proc *proc

	mu    sync.Mutex
	terms map[api.LeaseID]*term // guarded by mu
	index uint64                // guarded by mu: of the newest set that the agent has heard
	// gone are the terms that ended at the moment at: whoever read them just before may still use
	// what it read.
	gone map[api.LeaseID]*term // guarded by mu
	at   int64                 // guarded by mu
}

// term is one lease on its cell.
type term struct {
	// generation is the newest that the agent is known to hold, until is its end.
	generation uint64
	until      int64
	// next is the newest that it was sent, later the latest end that it may take for it.
	next  uint64
	later int64
	open  bool  // its binding is
	told  int64 // when the agent heard that it has ended; 0 is that it did not
	late  bool  // it was reported
}

// ends is when the agent must have stopped the lease by itself.
func (t *term) ends() int64 { return max(t.until, t.later) }

func newCustody(h *host, p *proc) *custody {
	return &custody{host: h, proc: p, terms: map[api.LeaseID]*term{}, gone: map[api.LeaseID]*term{}}
}

// heard is told what the agent is sent, before it has it. A grant or renewal ends a TTL after it
// came, and after the newest moment at which it may come: an older one must not be taken.
func (c *custody) heard(d api.Desired) {
	now := c.host.boot.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range d.Leases {
		latest := l.Stamp.BootTime + int64(api.DeliveryBound)
		if l.CellID != c.host.id || !l.State.Usable() || l.Stamp.BootID != c.host.boot.BootID() {
			continue
		}
		t := c.terms[l.ID]
		if now > latest {
			if !d.Full && (t == nil || l.Generation > t.generation) {
				c.host.w.count("came too late") // it waited somewhere: a full set tells again what is old
			}
			continue
		}
		if t == nil {
			t = &term{}
			c.terms[l.ID] = t
		}
		if l.Generation > t.generation && l.Generation >= t.next {
			t.next, t.later = l.Generation, max(t.later, now+int64(l.TTL()))
		}
	}
}

// told notes of which ends the agent has heard.
func (c *custody) told(d api.Desired) {
	now := c.host.boot.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.Index < c.index {
		return // an agent ignores what is older than what it has
	}
	c.index = d.Index
	desired := make(map[api.LeaseID]bool, len(d.Leases))
	for _, l := range d.Leases {
		desired[l.ID] = true
		if !l.State.Usable() {
			c.overLocked(l.ID, now)
		}
	}
	if d.Full {
		for id := range c.terms {
			if !desired[id] {
				c.overLocked(id, now)
			}
		}
	}
}

// forgetAfter is for how long the end of a lease is kept that was not bound.
const forgetAfter = time.Minute

// overLocked notes that the agent has heard of the end of a lease.
func (c *custody) overLocked(id api.LeaseID, now int64) {
	switch t := c.terms[id]; {
	case t == nil:
	case t.told == 0:
		t.told = now
	case !t.open && now-t.told > int64(forgetAfter):
		delete(c.terms, id) // nobody is binding it any more
	}
}

// opened notes a binding. What is bound was sent, and in time.
func (c *custody) opened(l api.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.terms[l.ID]
	if t == nil {
		c.host.w.fail("L4: cell %s binds lease %s, which came to it too late", c.host.id, l.ID)
		return
	}
	t.open = true
}

// termOf returns what the agent was given of a lease.
func (c *custody) termOf(id api.LeaseID) term {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.terms[id]; t != nil {
		return *t
	}
	return term{}
}

// takeOver notes that the agent goes on with what one before it was given. What that one heard of
// its end this one has to hear again.
func (c *custody) takeOver(id api.LeaseID, t term) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.open, t.told = true, 0
	c.terms[id] = &t
}

// closed notes the end of a binding: it comes within its bound of the lease's end, and of when
// the agent heard of that.
func (c *custody) closed(id api.LeaseID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.terms[id]; t != nil {
		c.inTimeLocked(id, t)
		delete(c.terms, id)
		if now := c.host.boot.Now(); now != c.at {
			clear(c.gone)
			c.at = now
		}
		c.gone[id] = t
	}
}

// inTimeLocked compares the bounds of an open binding with the time. While its agent stands
// still nobody can use it, and none of the agent's own time goes by.
func (c *custody) inTimeLocked(id api.LeaseID, t *term) {
	if c.proc.stands() {
		return
	}
	due, why := t.ends(), "its end"
	if t.told != 0 && t.told < due {
		due, why = t.told, "its cell heard of its end"
	}
	woke := c.host.boot.at(c.proc.wentOn().Add(wakes))
	if late := c.host.boot.Now() - max(due, woke); late > int64(api.TeardownBound) && !t.late {
		t.late = true
		c.host.w.fail("L6: lease %s is bound on cell %s %s after %s", id, c.host.id, time.Duration(late), why)
	}
}

// inTime looks at every open binding, for those that are never closed.
func (c *custody) inTime() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(c.terms)) {
		if t := c.terms[id]; t.open {
			c.inTimeLocked(id, t)
		}
	}
}

// minted notes a token: it is of the generation that is held, ends no later than that, and is for this
// cell alone.
func (c *custody) minted(l api.Lease, token string) {
	s, err := saysOf(token)
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.terms[l.ID]
	if t == nil && c.at == c.host.boot.Now() {
		t = c.gone[l.ID]
	}
	if t != nil && l.Generation > t.generation {
		t.generation, t.until = l.Generation, t.later
	}
	if t != nil && l.Generation == t.next {
		t.next, t.later = 0, 0
	}
	switch {
	case err != nil:
		c.host.w.fail("L7: cell %s minted a token for lease %s that cannot be read: %v", c.host.id, l.ID, err)
	case t == nil:
		c.host.w.fail("L7: cell %s minted a token for lease %s, which it does not hold", c.host.id, l.ID)
	case s.lease != l.ID || s.generation != l.Generation || l.Generation < t.generation || s.cell != c.host.id:
		c.host.w.fail("L7: cell %s minted for lease %s in generation %d a token of lease %s, generation %d, cell %s",
			c.host.id, l.ID, t.generation, s.lease, s.generation, s.cell)
	case s.ends > t.ends():
		c.host.w.fail("L7: the token of lease %s on cell %s ends %s after it", l.ID, c.host.id, time.Duration(s.ends-t.ends()))
	case s.ends-s.from > int64(api.MaxTokenLife):
		c.host.w.fail("L7: the token of lease %s on cell %s lives %s", l.ID, c.host.id, time.Duration(s.ends-s.from))
	}
}

// mayServe says why nobody may use a lease with a token at this moment; "" is that he may.
func (c *custody) mayServe(s says) string {
	now := c.host.boot.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.terms[s.lease]
	switch {
	case s.cell != c.host.id:
		return "the token is of cell " + string(s.cell)
	case t == nil || !t.open:
		return "nothing is bound for it"
	case now >= t.ends():
		return fmt.Sprintf("it ended %s ago", time.Duration(now-t.ends()))
	case now >= s.ends:
		return fmt.Sprintf("the token ended %s ago", time.Duration(now-s.ends))
	case t.told != 0 && now > t.told:
		return fmt.Sprintf("its cell heard of its end %s ago", time.Duration(now-t.told))
	case s.generation < t.generation:
		return fmt.Sprintf("the token is of generation %d, the lease in %d", s.generation, t.generation)
	}
	return ""
}
