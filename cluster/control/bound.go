package control

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// leadCheck is how often a waiter looks whether this node still leads: the cell's answer
// goes to the leader, so a deposed one waits in vain.
const leadCheck = 200 * time.Millisecond

// waitBound waits until the cell has bound generation gen of a lease, or the lease ends.
func (c *Control) waitBound(ctx context.Context, id api.LeaseID, gen uint64, until time.Time) (api.Lease, error) {
	c.waitAll(ctx, []api.LeaseID{id}, gen, until)
	return c.bound(ctx, id, gen)
}

// bound returns a lease of which generation gen is bound, or why it was not waited for longer.
func (c *Control) bound(ctx context.Context, id api.LeaseID, gen uint64) (api.Lease, error) {
	l, ok := c.cfg.Machine.View().Lease(id)
	switch {
	case !ok:
		return api.Lease{}, api.Refuse(api.NotFound, "lease %s is no longer known", id)
	case l.BoundGeneration >= gen:
		return l, nil
	case !l.State.Usable():
		return l, notBound(l)
	case ctx.Err() == nil && !c.cfg.Cluster.Leads():
		return l, api.Refuse(api.OutcomeUnknown, "leadership moved while lease %s waited for its cell %s", id, l.CellID).
			WithHint("repeat the request with the same idempotency key")
	}
	return l, api.Refuse(api.OutcomeUnknown, "the request ended before cell %s bound lease %s", l.CellID, id).
		WithHint("repeat the request with the same idempotency key, or look: grafos lease show %s", id)
}

// waitAll waits until each of the leases is bound in generation gen or has ended, until ctx or
// the time ends, or until this node leads no more.
func (c *Control) waitAll(ctx context.Context, ids []api.LeaseID, gen uint64, until time.Time) {
	for len(ids) > 0 {
		w := c.bindings.expect(ids)
		left, over := c.await(ctx, w, ids, gen, until)
		c.bindings.forget(w, ids)
		if over {
			return
		}
		ids = left
	}
}

// await waits for what w waits for. What is left is to be waited for anew, unless it is over.
func (c *Control) await(ctx context.Context, w *waiter, ids []api.LeaseID, gen uint64, until time.Time) (left []api.LeaseID, over bool) {
	every := min(1+len(ids)/16, 5) // many are not looked at each time: it is what a slow batch costs
	for n := 0; ; n++ {
		if n%every == 0 {
			if open := c.unbound(ids, gen); len(open) < len(ids) {
				return open, len(open) == 0 // nobody tells of those that are bound already
			}
		}
		select {
		case <-w.told:
			if gen == 1 {
				return nil, true // any report of a lease is of its first generation or a later one
			}
			return c.unbound(ids, gen), false
		case <-w.remind:
		case <-ctx.Done():
			return nil, true
		}
		if !c.cfg.Cluster.Leads() || c.cfg.Clock.Now().After(until) {
			return nil, true
		}
	}
}

// unbound returns the leases that may still be bound in generation gen.
func (c *Control) unbound(ids []api.LeaseID, gen uint64) []api.LeaseID {
	v := c.cfg.Machine.View()
	var open []api.LeaseID
	for _, id := range ids {
		if l, ok := v.Lease(id); ok && l.BoundGeneration < gen && l.State.Usable() {
			open = append(open, id)
		}
	}
	return open
}

// endTime is how long after its cell the state may hear of a lease's end.
const endTime = 2 * time.Second

// waitEnd returns a lease when its end is committed, or as it is after endTime.
func (c *Control) waitEnd(ctx context.Context, l api.Lease) api.Lease {
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	for {
		changed := c.cfg.Machine.Changed(fsm.LeaseTopic(l.ID))
		if now, ok := c.cfg.Machine.View().Lease(l.ID); ok {
			l = now
		}
		if !l.State.Usable() {
			return l
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return l
		}
	}
}

func notBound(l api.Lease) *api.Error {
	e := api.Refuse(api.BindTimeout, "cell %s did not bind lease %s: it is %s (%s)", l.CellID, l.ID, l.State, l.Reason).
		WithHint("repeat the request with a new idempotency key; see why: grafos provider status %s", l.Provider)
	e.Provider, e.RetryAfterMs = l.Provider, 100
	return e
}

// mintTimeout bounds a question to a cell.
const mintTimeout = 5 * time.Second

// token returns a capability token of a bound lease: the one that came with the binding, or
// a fresh one from the cell.
func (c *Control) token(ctx context.Context, l api.Lease) (string, error) {
	if t, ok := c.tokens.await(ctx, l.ID, l.BoundGeneration); ok {
		return t, nil
	}
	return c.mint(ctx, l)
}

func (c *Control) mint(ctx context.Context, l api.Lease) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, mintTimeout)
	defer cancel()
	ask := api.Ask{ID: api.NewID(c.cfg.Random, ""), LeaseID: l.ID, Generation: l.BoundGeneration}
	answer := c.mints.ask(ask.ID, l.CellID)
	defer c.mints.forget(ask.ID)
	if err := c.askCell(ctx, l.CellID, ask); err != nil {
		return "", err
	}
	select {
	case a := <-answer:
		if a.Problem != nil {
			return "", a.Problem
		}
		return a.Token, nil
	case <-ctx.Done():
		return "", api.Refuse(api.OutcomeUnknown, "cell %s did not mint a token for lease %s within %s", l.CellID, l.ID, mintTimeout).
			WithHint("the lease holds; ask again: grafos lease token %s", l.ID)
	}
}
