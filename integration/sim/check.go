package sim

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/ledger"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/fsm/fsmcheck"
)

// check compares what happens with what is promised. What clients were told is its ledger:
// the state of the schedulers may say more, and never less.
type check struct {
	w *World

	mu       sync.Mutex
	follow   *fsmcheck.Checker     // guarded by mu: is told of every entry, once
	ledger   map[api.LeaseID]fact  // guarded by mu
	runs     map[api.RunID]api.Run // guarded by mu: as their starters were told
	chain    []string              // guarded by mu: hashes of the audit chain, from sequence 1
	grants   map[api.LeaseID]int   // guarded by mu: records of a grant in the chain
	final    map[api.RunID]int     // guarded by mu: records of a finalisation in the chain
	states   map[uint64]string     // guarded by mu: fingerprint by index
	terms    map[uint64]string     // guarded by mu: who led
	acks     map[string]int        // guarded by mu
	refusals map[string]int        // guarded by mu
	newest   uint64                // guarded by mu: the highest index that anybody applied
	fulls    int                   // guarded by mu
}

// fact is what is known of a lease from the answers that were given.
type fact struct {
	lease api.Lease
	ended bool // somebody was told that its end is committed
}

func newCheck(w *World) *check {
	return &check{
		w: w, follow: fsmcheck.New(fsm.New(fsm.Options{Log: w.log}).View()), ledger: map[api.LeaseID]fact{}, runs: map[api.RunID]api.Run{}, grants: map[api.LeaseID]int{},
		final: map[api.RunID]int{}, states: map[uint64]string{}, terms: map[uint64]string{}, acks: map[string]int{}, refusals: map[string]int{},
	}
}

// audit takes the records of an entry as one scheduler made them: the chain has no gap, no
// second version and no record twice (L9). That a record's hash is that of its content and of
// the one before is checked with the entry: see change.
func (c *check) audit(n *scheduler, records []api.AuditRecord) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range records {
		at := int(r.Sequence) - 1
		switch {
		case at < len(c.chain):
			if c.chain[at] != r.Hash {
				c.w.fail("L9: scheduler %s makes record %d with hash %s, another one made %s", n.seat.name, r.Sequence, r.Hash, c.chain[at])
			}
			continue
		case at > len(c.chain):
			c.w.fail("L9: scheduler %s makes record %d, the chain is at %d", n.seat.name, r.Sequence, len(c.chain))
			continue
		}
		c.chain = append(c.chain, r.Hash)
		c.count(r)
	}
	return nil
}

// count keeps what must be in the chain once.
func (c *check) count(r api.AuditRecord) {
	switch r.Kind {
	case "lease_granted":
		id := api.LeaseID(subject(r).Lease)
		if c.grants[id]++; c.grants[id] > 1 {
			c.w.fail("L5: lease %s is granted twice in the audit chain", id)
		}
	case "run_finalised":
		id := api.RunID(subject(r).Run)
		if c.final[id]++; c.final[id] > 1 {
			c.w.fail("L8: run %s is finalised twice", id)
		}
	}
}

// change is told what an entry changed on one scheduler, before anybody sees it there. The
// entry before it is complete: its state is compared. What the entry itself changed is checked
// once, when the first scheduler applies it.
func (c *check) change(n *scheduler, ch fsm.Change) {
	v := n.machine.View()
	c.applied(n, api.Fingerprint{Index: v.Index(), Hash: v.Fingerprint()})
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.Index <= c.newest {
		return
	}
	c.newest = ch.Index
	if err := c.follow.Next(ch); err != nil {
		c.w.fail("entry %d on scheduler %s: %v", ch.Index, n.seat.name, err)
	}
}

// applied takes the state after an entry: every scheduler has the same one there (L10).
func (c *check) applied(n *scheduler, f api.Fingerprint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, known := c.states[f.Index]
	if known && was != f.Hash {
		c.w.fail("L10: scheduler %s has state %s at %d, another one has %s", n.seat.name, f.Hash, f.Index, was)
	}
	if !known {
		c.states[f.Index] = f.Hash
		c.w.trace.add("applied %d %s", f.Index, f.Hash)
	}
}

// leads notes a leader: a term has one, and no second one after it.
func (c *check) leads(n *scheduler, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, led := c.terms[term]; led && was != n.proc.id {
		c.w.fail("L10: %s and %s both led term %d", was, n.proc.id, term)
	}
	c.terms[term] = n.proc.id
	c.w.trace.add("leads %s %d", n.seat.name, term)
}

// whole recomputes every invariant of a state the slow way.
func (c *check) whole(n *scheduler) {
	for _, err := range fsm.Check(n.machine.View()) {
		c.w.fail("scheduler %s at %d: %v", n.seat.name, n.machine.View().Index(), err)
	}
	c.mu.Lock()
	c.fulls++
	c.mu.Unlock()
}

func (c *check) ack(kind string) {
	c.acks[kind]++
	c.w.trace.add("ack %s", kind)
}

// granted notes a grant that somebody was told of.
func (c *check) granted(l api.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ack("grant")
	if f, known := c.ledger[l.ID]; known {
		c.w.fail("L5: lease %s was granted to %s and again to %s", l.ID, f.lease.Tenant, l.Tenant)
	}
	c.ledger[l.ID] = fact{lease: l}
}

// renewed notes a renewal.
func (c *check) renewed(l api.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ack("renew")
	f := c.ledger[l.ID]
	if l.Generation <= f.lease.Generation {
		c.w.fail("L5: lease %s was renewed to generation %d, it was at %d", l.ID, l.Generation, f.lease.Generation)
	}
	f.lease = l
	c.ledger[l.ID] = f
}

// ended notes the end of a lease.
func (c *check) ended(l api.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ack("end")
	f := c.ledger[l.ID]
	f.ended = f.ended || !l.State.Usable()
	c.ledger[l.ID] = f
}

// started notes a run.
func (c *check) started(r api.Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ack("run")
	c.runs[r.ID] = r
}

// refused counts an answer that was a refusal.
func (c *check) refused(what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind := string(api.KindOf(err))
	c.refusals[what+" "+kind]++
	c.w.trace.add("refused %s %s", what, kind)
	if kind == string(api.Internal) {
		c.w.fail("a client was refused with internal: %v", err)
	}
}

// known is what anybody was told of a lease by now: a read that begins later shows it.
func (c *check) known(id api.LeaseID) fact {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger[id]
}

// read compares the answer of a linearizable read with what was known before it began.
func (c *check) read(id api.LeaseID, before fact, a *api.LeaseAnswer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ack("read")
	if err != nil {
		c.w.fail("L3: lease %s was granted, and a read says: %v", id, err)
		return
	}
	l := a.Lease.Lease
	if l.Generation < before.lease.Generation {
		c.w.fail("a linearizable read shows lease %s in generation %d, %d was acknowledged before it", id, l.Generation, before.lease.Generation)
	}
	if before.ended && l.State.Usable() {
		c.w.fail("a linearizable read shows lease %s as %s, its end was acknowledged before it", id, l.State)
	}
	if l.Epoch != before.lease.Epoch {
		c.w.fail("L4: lease %s has epoch %d, it was granted with %d", id, l.Epoch, before.lease.Epoch)
	}
}

// stale checks that an old answer does not pretend to be newer than anything.
func (c *check) stale(a *api.LeaseAnswer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ack("stale read")
	if a.Lease.Modified > a.Index {
		c.w.fail("a stale read at index %d shows a change of index %d", a.Index, a.Lease.Modified)
	}
}

// bound notes a binding.
func (c *check) bound(cell api.CellID, l api.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks["bind"]++
	if l.CellID != cell {
		c.w.fail("L4: cell %s binds lease %s of cell %s", cell, l.ID, l.CellID)
	}
}

// kept counts a block that outlives its agent: for no longer than that was given it.
func (c *check) kept(cell api.CellID, was left, e ledger.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks["keep"]++
	if e.Deadline > was.term.ends() || e.Amount != was.lease.Amount || e.Epoch != was.lease.Epoch {
		c.w.fail("L4: cell %s keeps lease %s %s longer than it was given: %+v", cell, e.Lease, time.Duration(e.Deadline-was.term.ends()), e)
	}
}

// doubleHolder is told of a lease that its cell had no room for: what it is to have is still
// somebody else's (L4).
func (c *check) doubleHolder(cell api.CellID, l api.Lease, used api.Resources) {
	c.w.fail("L4: cell %s has no room for lease %s (%d of %s): %+v is bound already", cell, l.ID, l.Amount, l.Kind, used)
}

// end is the account at the end of a world: nothing that was acknowledged is lost.
func (c *check) end(v *fsm.View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(c.ledger)) {
		f := c.ledger[id]
		if c.grants[id] != 1 {
			c.w.fail("L9: the grant of lease %s is in the audit chain %d times", id, c.grants[id])
		}
		l, ok := v.Lease(id)
		switch {
		case !ok:
			c.w.fail("L3: lease %s was acknowledged and is gone", id)
		case l.Generation < f.lease.Generation:
			c.w.fail("L3: lease %s is in generation %d, %d was acknowledged", id, l.Generation, f.lease.Generation)
		case !l.State.Terminal():
			c.w.fail("L6: lease %s is still %s (%s)", id, l.State, l.Reason)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.runs)) {
		r, ok := v.Run(id)
		switch {
		case !ok:
			c.w.fail("L3: run %s was acknowledged and is gone", id)
		case !r.Finalised:
			c.w.fail("L8: run %s is %s and never finalised", id, r.State)
		case c.final[id] != 1:
			c.w.fail("L8: the finalisation of run %s is in the audit chain %d times", id, c.final[id])
		}
	}
}
