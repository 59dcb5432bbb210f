package cellagent

import (
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
	for _, e := range k.ledger.In(ledger.Ended) {
		k.before[e.Lease] = e
	}
	for _, e := range k.ledger.In(ledger.Accepted) {
		if !k.adopt(&e) {
			k.before[e.Lease] = e
		}
	}
	for _, e := range k.ledger.In(ledger.Fenced) {
		k.host.Fence(e)
		r := api.EndedReport{LeaseID: e.Lease, Epoch: e.Epoch, State: api.LeaseFenced, Reason: clip(e.Reason)}
		k.gone.bury(e.Grant(), r)
		if e.Known == 0 {
			k.outbox.putEnded(r, "")
		}
		k.log.Warn("fenced, as before", "lease_id", e.Lease, "kind", e.Kind, "amount", e.Amount, "reason", e.Reason)
	}
}

// adopt goes on with a block that an agent before this one held, until the deadline that the ledger
// has. Nobody gets a token for it before the schedulers have shown that they still want it. What the
// host has kept is taken also when that deadline has come since, to be torn down.
func (k *keeper) adopt(e *ledger.Entry) bool {
	now := k.clock.Now()
	if !e.Keeps(k.clock.BootID()) {
		return false
	}
	open, ok := k.host.Adopt(e.Lease)
	if !ok {
		return false
	}
	if mutant.On(mutant.KeepLonger) {
		e.Deadline += int64(api.HoldDown(0)) * 3
	}
	l := e.Grant()
	l.CellID = k.cell
	h := &holding{lease: l, deadline: e.Deadline, phase: phaseBound, since: now, open: open, adopted: true, slot: -1}
	open.Until(h.deadline)
	k.held[l.ID] = h
	k.schedule(h)
	k.log.Info("block kept", "lease_id", l.ID, "generation", l.Generation, "left", left(e.Deadline, now))
	return true
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
