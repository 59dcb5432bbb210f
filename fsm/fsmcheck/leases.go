package fsmcheck

import (
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// For how long an ended lease is kept at least, where there are not too many.
const keepEnded = api.Tick(time.Hour)

// leaseChanged checks one write of a lease and takes it into the sums.
func (c *Checker) leaseChanged(w fsm.Changed[api.Lease], t touched, a audits) {
	switch {
	case w.New == nil && w.Old == nil:
		c.want(false, "L4", "a lease changed from nothing to nothing")
		return
	case w.New == nil:
		c.leaseForgotten(*w.Old)
		t.cells[w.Old.CellID] = true
		return
	case w.Old == nil:
		c.leaseGranted(*w.New, a)
	default:
		c.leaseMoved(*w.Old, *w.New, a)
	}
	l := *w.New
	if old, had := c.leases[l.ID]; had {
		c.count(old, -1)
	}
	c.leases[l.ID] = l
	c.count(l, 1)
	t.cells[l.CellID], t.tenants[l.Tenant] = true, true
	if l.RunID != "" {
		t.runs[l.RunID] = true
	}
	c.want(l.Modified == c.index, "L10", "lease %s says that entry %d changed it", l.ID, l.Modified)
}

func (c *Checker) leaseGranted(l api.Lease, a audits) {
	_, had := c.leases[l.ID]
	c.want(!had, "L4", "lease %s is granted again", l.ID)
	c.want(l.Epoch > c.epoch, "L4", "lease %s has the fencing number %d, %d was given before", l.ID, l.Epoch, c.epoch)
	c.want(l.Epoch <= c.newest, "L4", "lease %s has the fencing number %d, the newest is %d", l.ID, l.Epoch, c.newest)
	c.epoch = max(c.epoch, l.Epoch)
	c.want(l.State == api.LeaseActive && l.Generation == 1 && l.BoundGeneration == 0, "L4",
		"lease %s is granted as %s in generation %d, bound in %d", l.ID, l.State, l.Generation, l.BoundGeneration)
	c.want(l.Granted == c.tick && l.Expires == l.Granted+api.Tick(l.TTL()), "L4", "lease %s is granted at %d until %d, for %s", l.ID, l.Granted, l.Expires, l.TTL())
	a.expect("lease_granted", string(l.ID))
}

// leaseMoved checks a lease that was there before.
func (c *Checker) leaseMoved(old, l api.Lease, a audits) {
	kept, had := c.leases[l.ID]
	c.want(had && kept.Same(old), "L4", "lease %s changes from what it was not: %+v, it was %+v", l.ID, old, kept)
	same := old.ID == l.ID && old.Epoch == l.Epoch && old.CellID == l.CellID && old.Tenant == l.Tenant && old.Provider == l.Provider &&
		old.RunID == l.RunID && old.Kind == l.Kind && old.Use == l.Use && old.Amount == l.Amount && old.Granted == l.Granted && old.Priority == l.Priority &&
		old.Holder == l.Holder && old.Terms.Same(l.Terms)
	c.want(same, "L4", "lease %s becomes another: %+v, it was %+v", l.ID, l, old)
	if lifted := old; old.Fenced() && !l.Fenced() {
		lifted.Unfenced, lifted.UnfencedAt, lifted.Modified = max(c.tick, 1), l.UnfencedAt, l.Modified
		c.want(lifted.Same(l) && !l.UnfencedAt.IsZero(), "L4", "the fence of lease %s is cleared and it changes: %+v, it was %+v", l.ID, l, old)
		a.expect("lease_unfenced", string(l.ID))
		return
	}
	c.want(!old.State.Terminal(), "L4", "lease %s has ended as %s and changes", l.ID, old.State)
	c.want(old.State == l.State || old.State.CanBecome(l.State), "L4", "lease %s becomes %s from %s", l.ID, l.State, old.State)
	renewed := l.Generation == old.Generation+1
	c.want(renewed || l.Generation == old.Generation, "L4", "lease %s goes from generation %d to %d", l.ID, old.Generation, l.Generation)
	c.want(!renewed || old.State == api.LeaseActive && old.Expires > c.tick, "L4", "lease %s is renewed when it is %s and runs out at %d", l.ID, old.State, old.Expires)
	c.want(renewed || l.Expires == old.Expires, "L4", "the deadline of lease %s moves from %d to %d without a renewal", l.ID, old.Expires, l.Expires)
	c.want(l.StoppedBy() >= old.StoppedBy(), "L4", "the time by which lease %s has stopped falls from %d to %d", l.ID, old.StoppedBy(), l.StoppedBy())
	c.want(l.BoundGeneration >= old.BoundGeneration && l.BoundGeneration <= l.Generation, "L4", "lease %s is bound in generation %d of %d, it was in %d",
		l.ID, l.BoundGeneration, l.Generation, old.BoundGeneration)
	c.want(l.State != api.LeaseFailedClosed || l.StoppedBy() <= c.tick, "L4", "lease %s is given up at %d, its cell has stopped at %d only", l.ID, c.tick, l.StoppedBy())
	c.want(l.State.Terminal() == (l.Ended == c.tick && !l.EndedAt.IsZero()), "L4", "lease %s is %s and ended at %d", l.ID, l.State, l.Ended)
	if renewed {
		a.expect("lease_renewed", string(l.ID))
	}
	if old.State != l.State {
		a.expectState(l)
	}
}

// leaseForgotten checks that a lease that goes has ended long ago.
func (c *Checker) leaseForgotten(l api.Lease) {
	kept, had := c.leases[l.ID]
	c.want(had && kept.Same(l), "L4", "lease %s is forgotten as what it was not: %+v, it was %+v", l.ID, l, kept)
	c.want(!l.Occupies(), "L1", "lease %s is forgotten as %s", l.ID, l.State)
	c.want(c.ended > fsm.MaxEnded || c.tick-max(l.Ended, l.Unfenced) >= keepEnded, "L4", "lease %s is forgotten %s after its end", l.ID, time.Duration(c.tick-max(l.Ended, l.Unfenced)))
	if had {
		c.count(kept, -1)
		delete(c.leases, l.ID)
		delete(c.owners, l.ID)
	}
}

// keyChanged checks one write of an idempotency record.
func (c *Checker) keyChanged(w fsm.Changed[fsm.IdemRecord]) {
	if w.Old != nil {
		id := keyID{w.Old.Scope, w.Old.Key}
		kept, had := c.keys[id]
		c.want(had && sameOutcome(kept, *w.Old), "L5", "key %q changes from what it was not: %+v, it was %+v", id.key, *w.Old, kept)
		old := len(c.keys) > fsm.MaxKeys || c.tick-w.Old.At >= api.Tick(24*time.Hour)
		c.want(w.New != nil || old, "L5", "key %q is forgotten after %s", id.key, time.Duration(c.tick-w.Old.At))
		c.want(w.New == nil, "L5", "the outcome of key %q changes", id.key)
		delete(c.keys, id)
	}
	if w.New == nil {
		return
	}
	id := keyID{w.New.Scope, w.New.Key}
	_, had := c.keys[id]
	c.want(!had, "L5", "key %q has an outcome already and gets another", id.key)
	c.want(w.New.Index == c.index && w.New.At == c.tick, "L5", "key %q has its outcome at index %d", id.key, w.New.Index)
	c.keys[id] = *w.New
	c.own(*w.New)
}

func sameOutcome(a, b fsm.IdemRecord) bool {
	if len(a.Leases) != len(b.Leases) {
		return false
	}
	for i := range a.Leases {
		if a.Leases[i] != b.Leases[i] {
			return false
		}
	}
	return a.Hash == b.Hash && a.Kind == b.Kind && a.Run == b.Run && a.Index == b.Index
}

// own remembers whose request a lease was granted to: it can be one only.
func (c *Checker) own(k fsm.IdemRecord) {
	if k.Kind != fsm.KindGrantLeases {
		return
	}
	id := keyID{k.Scope, k.Key}
	for _, lease := range k.Leases {
		if _, there := c.leases[lease]; !there {
			continue // forgotten, while its key is still kept
		}
		other, taken := c.owners[lease]
		c.want(!taken || other == id, "L5", "lease %s was granted to key %q and to key %q", lease, other.key, id.key)
		c.owners[lease] = id
	}
}
