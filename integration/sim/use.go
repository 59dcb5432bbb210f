package sim

import (
	"context"
	"slices"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	// mostTickets bounds the tokens that a client keeps, those that are void by now too.
	mostTickets = 12
	// useTime bounds one operation on the data plane.
	useTime = 5 * time.Second
)

// ticket is a capability token that a client was given.
type ticket struct {
	lease api.Lease
	token string
	says  says
}

// keep keeps a token: it is tried when it is void too.
func (c *client) keep(g api.Grant) {
	if g.Token == "" || g.Kind != api.KindMem && g.Kind != api.KindBlock {
		return // the others open nothing
	}
	s, err := saysOf(g.Token)
	if err != nil || s.lease != g.ID || s.cell != g.CellID || s.generation > g.Generation {
		c.w.fail("L7: lease %s of cell %s in generation %d came with a token of lease %s, cell %s, generation %d: %v",
			g.ID, g.CellID, g.Generation, s.lease, s.cell, s.generation, err)
		return
	}
	c.tickets = append(c.tickets, ticket{g.Lease, g.Token, s})
	if n := len(c.tickets); n > mostTickets {
		c.tickets = append(c.tickets[:0], c.tickets[n-mostTickets:]...)
	}
}

// use reads a lease at its cell with a token, or tries to with one that is void, at a cell that is
// not its own, or with one that the cell did not mint.
func (c *client) use(ctx context.Context) {
	if len(c.tickets) == 0 {
		return
	}
	w := c.w
	n := len(c.tickets)
	t := c.tickets[max(w.dice.below(n), w.dice.below(n))] // rather a new one
	at, forged := t.lease.CellID, false
	switch w.dice.below(12) {
	case 0:
		at = pick(w.dice, w.hosts).id
	case 1:
		token, err := w.hostAt(at).forger.Mint(t.lease, time.Minute)
		if err != nil {
			w.fail("forge a token: %v", err)
			return
		}
		t.token, forged = token, true
	}
	c.present(ctx, t, at, forged)
}

// void tries the token of a lease that was renewed, or ended, since.
func (c *client) void(ctx context.Context, id api.LeaseID) {
	i := slices.IndexFunc(c.tickets, func(t ticket) bool { return t.lease.ID == id })
	if i >= 0 && c.w.dice.chance(0.5) {
		c.present(ctx, c.tickets[i], c.tickets[i].lease.CellID, false)
	}
}

// present shows a token to a cell, which does the operation or refuses it.
func (c *client) present(ctx context.Context, t ticket, at api.CellID, forged bool) {
	w := c.w
	known := w.check.known(t.lease.ID)
	ctx, cancel := context.WithTimeout(ctx, useTime)
	defer cancel()
	_, _ = call(ctx, w.net, c.proc, string(at), func(ctx context.Context, callee *proc) (nothing, error) {
		a := w.hostAt(at).alive()
		if a == nil || a.proc != callee {
			return nothing{}, errReset
		}
		refusal, err := a.door.read(ctx, t.lease.ID, t.token)
		switch {
		case err != nil:
			return nothing{}, err
		case refusal != nil:
			w.check.refused("use", refusal)
		default:
			w.check.served(a, t, known, forged)
		}
		return nothing{}, nil
	}) // whether the answer comes to the client, the operation was done
}

// served notes an operation that a cell has done with a token, at the moment at which it did: the
// token is its own, of a lease that it holds, in its newest generation.
func (c *check) served(a *agent, t ticket, before fact, forged bool) {
	why := a.keeps.mayServe(t.says)
	switch {
	case forged:
		why = "the token is forged"
	case before.lease.Generation > t.says.generation:
		why = "a renewal was acknowledged before, to generation " + utoa(before.lease.Generation)
	}
	if why != "" {
		c.w.fail("L7: cell %s serves lease %s with a token of generation %d: %s", a.host.id, t.says.lease, t.says.generation, why)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ack("use")
}

// hostAt returns a cell's machine.
func (w *World) hostAt(id api.CellID) *host {
	for _, h := range w.hosts {
		if h.id == id {
			return h
		}
	}
	return nil
}
