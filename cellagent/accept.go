package cellagent

import (
	"context"
	"slices"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/cellagent/ledger"
)

// remember takes over what the ledger knows of the agents before this one: the floor, what they
// had accepted, and what they could not tear down, which is said again until the schedulers know.
func (k *keeper) remember() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.floor = k.ledger.Floor()
	for _, p := range []ledger.Phase{ledger.Accepted, ledger.Ended} {
		for _, e := range k.ledger.In(p) {
			k.before[e.Lease] = e
		}
	}
	for _, e := range k.ledger.In(ledger.Fenced) {
		k.host.Fence(e)
		r := api.EndedReport{LeaseID: e.Lease, Epoch: e.Epoch, State: api.LeaseFenced, Reason: clip(e.Reason)}
		k.gone.bury(api.Lease{
			ID: e.Lease, Tenant: e.Tenant, Kind: e.Kind, Use: e.Use, Amount: e.Amount, Epoch: e.Epoch, Generation: e.Generation,
			CellID: k.cell,
		}, r)
		if e.Known == 0 {
			k.outbox.putEnded(r, "")
		}
		k.log.Warn("fenced, as before", "lease_id", e.Lease, "kind", e.Kind, "amount", e.Amount, "reason", e.Reason)
	}
}

// settle raises the floor to what was given when this agent's registration was committed, where
// the ledger cannot say what was accepted before.
func (k *keeper) settle(a *api.RegisterAnswer) {
	if !k.ledger.Doubt() || a.Fence == 0 && a.ClusterEpoch == 0 {
		return
	}
	f := ledger.Floor{Cluster: a.ClusterEpoch, Epoch: a.Fence}
	if err := k.ledger.Settle(f); err != nil {
		k.log.Error("floor not kept, it is raised in memory alone", "error", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.floor = k.floor.Raise(f)
	k.log.Info("what was accepted before is not known: nothing older than the registration is taken", "floor", k.floor.Epoch)
}

// outdated refuses a set that is older than one that was taken, whoever offers it: a scheduler
// of before a recovery, say, that has not heard of it.
func (k *keeper) outdated(d api.Desired) error {
	offered := ledger.Floor{Cluster: d.ClusterEpoch, Epoch: d.Epoch}
	if offered == (ledger.Floor{}) || !k.floor.Above(offered) || mutant.On(mutant.ForgetFloor) {
		return nil
	}
	return api.Refuse(api.StaleEpoch, "the set is of cluster epoch %d and fencing number %d, this cell has taken one of %d and %d",
		offered.Cluster, offered.Epoch, k.floor.Cluster, k.floor.Epoch)
}

// accept writes what a set will have the cell hold, and the floor that it sets, before any of it
// is done. It is called by the goroutine that takes the sets.
func (k *keeper) accept(d api.Desired, at moment) error {
	var list []ledger.Entry
	k.mu.Lock()
	for i := range d.Leases {
		l := &d.Leases[i]
		if l.CellID != k.cell {
			continue
		}
		switch s := decide(*l, k.standing(l.ID), at); s.verb { //nolint:exhaustive // the others accept nothing
		case doBind, doRenew:
			list = append(list, ledger.EntryOf(l, at.bootID, s.deadline))
		}
	}
	k.mu.Unlock()
	err := k.ledger.Accept(ledger.Floor{Cluster: d.ClusterEpoch, Epoch: d.Epoch}, list)
	if err != nil {
		k.log.Error("nothing new is taken: it cannot be kept", "error", err)
		return err
	}
	if k.ledger.Long() {
		k.tasks.Go(func() {
			if err := k.ledger.Compact(); err != nil {
				k.log.Warn("ledger not compacted", "error", err)
			}
		})
	}
	return nil
}

// fences makes the fences of the cell those that the schedulers know of: one that they do not show
// any more was lifted, one that this cell does not know, because its ledger was lost, counts from
// now on. One of which they have not heard yet stays.
func (k *keeper) fences(ctx context.Context, d api.Desired) {
	if !d.Fences {
		return
	}
	for _, l := range d.Fenced {
		if e, ok := k.ledger.Find(l.ID); l.CellID == k.cell && (!ok || e.Phase != ledger.Fenced) {
			e := ledger.EntryOf(&l, "", 0)
			e.Phase, e.Reason = ledger.Fenced, clip(l.Reason)
			k.host.Fence(e)
			if err := k.ledger.Fence(e); err != nil {
				k.log.Error("fence not kept", "lease_id", l.ID, "error", err)
			}
			k.log.Warn("fenced, as the schedulers know", "lease_id", l.ID, "kind", l.Kind, "amount", l.Amount)
		}
		if err := k.ledger.Know(l.ID, d.ClusterEpoch); err != nil {
			k.log.Warn("fence not marked", "lease_id", l.ID, "error", err)
		}
	}
	for _, e := range k.ledger.In(ledger.Fenced) {
		if e.Known != d.ClusterEpoch+1 || slices.ContainsFunc(d.Fenced, func(l api.Lease) bool { return l.ID == e.Lease }) ||
			slices.ContainsFunc(d.Leases, func(l api.Lease) bool { return l.ID == e.Lease && !l.State.Terminal() }) {
			continue
		}
		k.lift(ctx, e)
	}
}

// liftBound is how long the tearing down of what an operator has unfenced may hold up a set.
const liftBound = api.TeardownBound / 4

// lift gives back what was fenced. Where it still does not go away it stays counted, and the
// next set tries again.
func (k *keeper) lift(ctx context.Context, e ledger.Entry) {
	ctx, cancel := context.WithTimeout(ctx, liftBound)
	defer cancel()
	if err := k.host.Unfence(ctx, e.Lease); err != nil {
		k.log.Error("the fence was lifted, but the resource is still not torn down", "lease_id", e.Lease, "kind", e.Kind,
			"amount", e.Amount, "error", err)
		return
	}
	if err := k.ledger.Lift(e.Lease); err != nil {
		k.log.Error("the fence was lifted, but the next agent does not know", "lease_id", e.Lease, "error", err)
	}
	k.log.Info("fence lifted", "lease_id", e.Lease, "kind", e.Kind, "amount", e.Amount)
}

// fence keeps that a teardown failed, before anybody hears of it.
func (k *keeper) fence(l *api.Lease, deadline int64, open Opened, reason string) {
	e := ledger.EntryOf(l, k.clock.BootID(), deadline)
	e.Reason = reason
	if f, ok := open.(interface{ Path() string }); ok {
		e.Path = f.Path()
	}
	if err := k.ledger.Fence(e); err != nil {
		k.log.Error("fence not kept: it ends with this agent", "lease_id", l.ID, "error", err)
	}
}
