package cellagent

import (
	"context"
	"errors"
	"slices"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/ledger"
)

// liftBound is how long one try to tear down what an operator has unfenced may take.
const liftBound = api.TeardownBound / 4

// lifting is a fence that was lifted, until what was fenced is gone. Its fields are guarded by
// keeper.mu.
type lifting struct {
	entry ledger.Entry
	busy  bool // a try is under way: there is one at a time
	freed bool // it is gone, only the ledger does not say so
	shown bool // the schedulers show the fence again: it is not tried any more
}

// leftover is what still went on of a lease when it was fenced; nil is nothing.
type leftover struct {
	bound <-chan struct{} // its opening
	dead  <-chan struct{} // its worker
}

// fences makes the fences of the cell those that the schedulers know of: one that they do not show
// any more was lifted, one that this cell does not know, because its ledger was lost, counts from
// now on. One of which they have not heard yet stays. What was lifted and is still not gone is tried
// again with each set; nothing here waits for it.
func (k *keeper) fences(ctx context.Context, d api.Desired) {
	if d.Fences {
		for i := range d.Fenced {
			k.know(&d.Fenced[i], d.ClusterEpoch)
		}
		k.lifted(d)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing {
		return
	}
	for _, l := range k.lifts {
		if !l.busy {
			l.busy = true
			k.tasks.Go(func() { k.lift(ctx, l) })
		}
	}
}

// know takes a fence that the schedulers know of.
func (k *keeper) know(l *api.Lease, clusterEpoch uint64) {
	if e, ok := k.ledger.Find(l.ID); l.CellID == k.cell && (!ok || e.Phase != ledger.Fenced) {
		e := ledger.EntryOf(l, "", 0)
		e.Phase, e.Reason = ledger.Fenced, clip(l.Reason)
		k.host.Fence(e)
		if err := k.ledger.Fence(e); err != nil {
			k.log.Error("fence not kept", "lease_id", l.ID, "error", err)
		}
		k.log.Warn("fenced, as the schedulers know", "lease_id", l.ID, "kind", l.Kind, "amount", l.Amount)
	}
	if err := k.ledger.Know(l.ID, clusterEpoch); err != nil {
		k.log.Warn("fence not marked", "lease_id", l.ID, "error", err)
	}
}

// lifted notes which fences were lifted, so a set that says them.
func (k *keeper) lifted(d api.Desired) {
	fenced := k.ledger.In(ledger.Fenced)
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, l := range k.lifts {
		l.shown = slices.ContainsFunc(d.Fenced, func(f api.Lease) bool { return f.ID == id })
		if l.shown && !l.busy {
			delete(k.lifts, id)
		}
	}
	for _, e := range fenced {
		if e.Known != d.ClusterEpoch+1 || k.lifts[e.Lease] != nil ||
			slices.ContainsFunc(d.Fenced, func(l api.Lease) bool { return l.ID == e.Lease }) ||
			slices.ContainsFunc(d.Leases, func(l api.Lease) bool { return l.ID == e.Lease && !l.State.Terminal() }) {
			continue
		}
		k.lifts[e.Lease] = &lifting{entry: e}
	}
}

// lift gives back what was fenced. Where it still does not go away it stays counted, and the
// next set tries again.
func (k *keeper) lift(ctx context.Context, l *lifting) {
	e := l.entry
	log := k.log.With("lease_id", e.Lease, "kind", e.Kind, "amount", e.Amount)
	err := k.free(ctx, l)
	if err != nil {
		log.Error("the fence was lifted, but the resource is still not torn down", "error", err)
	} else if err = k.ledger.Lift(e.Lease); err != nil {
		log.Error("the fence was lifted, but the next agent does not know", "error", err)
	} else {
		log.Info("fence lifted")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l.busy = false
	if g, ok := k.gone.find(e.Lease); ok && err == nil {
		g.lease.Unfenced = 1 // its holder hears that the fence is no more; when, the schedulers know
	}
	if err == nil || l.shown {
		delete(k.lifts, e.Lease)
	}
}

// free tears down what was fenced, once nothing of its lease goes on any more.
func (k *keeper) free(ctx context.Context, l *lifting) error {
	id := l.entry.Lease
	k.mu.Lock()
	left, freed := k.leftovers[id], l.freed
	k.mu.Unlock()
	if freed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, liftBound)
	defer cancel()
	for _, over := range []<-chan struct{}{left.bound, left.dead} {
		if over == nil {
			continue
		}
		select {
		case <-over:
		case <-ctx.Done():
			return errors.New("its opening or its worker has not ended")
		}
	}
	if err := k.host.Unfence(ctx, id); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l.freed = true
	delete(k.leftovers, id)
	return nil
}
