package cellagent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
)

// end tears a held lease down: at once, where nothing has to be waited for, or beside. Once it has
// begun, nothing changes it.
func (k *keeper) end(ctx context.Context, h *holding, reason string) {
	if h.phase == phaseEnding {
		return
	}
	h.phase, h.reason = phaseEnding, reason
	k.unschedule(h)
	k.outbox.dropBound(h.lease.ID)
	t := k.runOf(h.lease)
	if t != nil {
		k.stopRun(ctx, t, reason)
	}
	if t == nil && !mutant.On(mutant.EarlyEnd) && k.closeNow(h) {
		k.ended(h, nil)
		return
	}
	h.since = k.clock.Now()
	k.moving[h.lease.ID] = h
	// A teardown is never cut off: a closing agent waits for it.
	ctx = context.WithoutCancel(ctx)
	k.tasks.Go(func() { k.teardown(ctx, h, t) })
}

// closeNow reports whether the binding of a lease is closed, because that needed no wait.
func (k *keeper) closeNow(h *holding) bool {
	if h.open != nil {
		return h.open.CloseNow()
	}
	return h.bound == nil // it was never open, and nobody is opening it
}

// teardown closes a binding within its bound and says how that went: torndown, or fenced.
func (k *keeper) teardown(ctx context.Context, h *holding, t *tracked) {
	ctx, cancel := k.awake(ctx, api.TeardownBound)
	defer cancel()
	var err error
	if mutant.On(mutant.EarlyEnd) {
		k.tasks.Go(func() { _ = k.closeBinding(context.WithoutCancel(ctx), h, t) })
	} else {
		err = k.closeBinding(ctx, h, t)
	}
	if err != nil {
		k.mu.Lock()
		l, deadline, open, reason := h.lease, h.deadline, h.open, h.fenceReason(err)
		left := leftover{bound: h.bound}
		if t != nil {
			left.dead = t.dead
		}
		k.leftovers[l.ID] = left
		if k.closing {
			k.unclosed = append(k.unclosed, api.RefuseFenced(&l, reason))
		}
		k.mu.Unlock()
		k.fence(&l, deadline, open, reason)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended(h, err)
}

// fenceReason says why a lease was ended, and why that failed.
func (h *holding) fenceReason(err error) string { return clip(fmt.Sprintf("%s: %v", h.reason, err)) }

// ended takes how a teardown went.
func (k *keeper) ended(h *holding, err error) {
	r := api.EndedReport{LeaseID: h.lease.ID, Epoch: h.lease.Epoch, State: api.LeaseTornDown, Reason: h.reason}
	switch {
	case err != nil:
		r.State, r.Reason = api.LeaseFenced, h.fenceReason(err)
		k.log.Error("teardown failed, lease fenced", "lease_id", h.lease.ID, "kind", h.lease.Kind,
			"amount", h.lease.Amount, "error", err)
	case k.log.IsDebug():
		// What the benchmark of teardowns reads: when it ended, and when it had to.
		k.log.Debug("lease torn down", "lease_id", h.lease.ID, "reason", h.reason, "at_ns", k.clock.Now(), "deadline_ns", h.deadline)
	}
	if err == nil {
		k.ledger.End(h.lease.ID, h.lease.Epoch)
	}
	delete(k.held, h.lease.ID)
	delete(k.moving, h.lease.ID)
	k.buried(h.lease, r)
}

// awakeTick is how finely the process's own running time is counted.
const awakeTick = 50 * time.Millisecond

// awake returns a context that ends after d of this process's own running time. A process
// that was stopped in the middle of a teardown has not failed at it: a fence for that would
// wait for an operator for nothing.
func (k *keeper) awake(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	k.tasks.Go(func() {
		defer cancel()
		tick := time.NewTicker(awakeTick)
		defer tick.Stop()
		for left := d; left > 0; left -= awakeTick {
			select {
			case <-tick.C: // one for a standstill, however long it was
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, cancel
}

// closeBinding waits until nothing uses the binding any more and closes it (C4). Flows do not wait for that:
// their worker may not be dead yet, and what it has sent is on its way.
func (k *keeper) closeBinding(ctx context.Context, h *holding, t *tracked) error {
	k.halt(h)
	if h.bound != nil {
		select {
		case <-h.bound:
		case <-ctx.Done():
			return errors.New("opening the binding did not end in time")
		}
	}
	if t != nil {
		select {
		case <-t.dead:
		case <-ctx.Done():
			return errors.New("the worker did not end in time")
		}
	}
	k.mu.Lock()
	open := h.open
	k.mu.Unlock()
	if open == nil {
		return nil
	}
	closed := make(chan error, 1)
	k.tasks.Go(func() { closed <- open.Close(ctx) })
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("closing the binding did not end within %s", api.TeardownBound)
	}
}

// halt closes the flows of a lease that ends.
func (k *keeper) halt(h *holding) {
	k.mu.Lock()
	open, ok := h.open.(flowing)
	k.mu.Unlock()
	if ok {
		open.Halt()
	}
}

// buried reports the end of a lease: at once, or, where a run must have its result
// first, together with that (C6).
func (k *keeper) buried(l api.Lease, r api.EndedReport) {
	k.gone.bury(l, r)
	if t := k.runOf(l); t != nil && !t.settle(r) {
		return
	}
	k.outbox.putEnded(r, l.RunID)
}

// refuse reports a lease that is not held as torn down, and its run as lost.
func (k *keeper) refuse(ctx context.Context, l api.Lease, reason string) {
	k.log.Warn("lease refused", "lease_id", l.ID, "run_id", l.RunID, "reason", reason)
	r := api.EndedReport{LeaseID: l.ID, Epoch: l.Epoch, State: api.LeaseTornDown, Reason: reason}
	if t := k.runOf(l); t != nil {
		k.stopRun(ctx, t, reason)
	}
	delete(k.before, l.ID)
	k.ledger.End(l.ID, l.Epoch)
	k.buried(l, r)
}

// repeatEnd says the end of a lease again, to schedulers that still want it.
func (k *keeper) repeatEnd(l api.Lease) {
	g, ok := k.gone.find(l.ID)
	if !ok || k.index <= g.confirmed {
		return // not later than the answer that confirmed it
	}
	if t := k.runOf(l); t != nil && t.report == nil {
		return // it goes out with the result
	}
	k.outbox.putEnded(g.report, l.RunID)
}

// stuck says what is on its way for longer than its bound; "" is nothing.
func (k *keeper) stuck() string {
	if err := k.ledger.Failing(); err != nil { // it may wait for the disk: nobody else has to
		return clip(err.Error())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock.Now()
	for id, h := range k.moving {
		took := time.Duration(now - h.since)
		switch {
		case h.phase == phaseBinding && took > api.BindBound:
			return fmt.Sprintf("binding lease %s takes %s", id, took.Round(time.Millisecond))
		case h.phase == phaseEnding && took > api.TeardownBound:
			return fmt.Sprintf("teardown of lease %s takes %s", id, took.Round(time.Millisecond))
		}
	}
	return ""
}
