package sim

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/control"
)

// settled makes a world without faults and clients whose cells are ready, and a client.
func settled(t *testing.T, f func(t *testing.T, w *World, c *client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Seed: 1}.withDefaults())
		defer w.close()
		if !w.begin(w.seats) {
			t.FailNow()
		}
		for _, h := range w.hosts {
			if err := h.start(); err != nil {
				t.Fatal(err)
			}
		}
		if !w.furnish(t.Context()) {
			t.FailNow()
		}
		pass(t.Context(), 5*time.Second) // the cells are warm
		c := &client{w: w, proc: w.net.born("u1"), tenant: tenantName(0)}
		defer w.net.die(c.proc)
		f(t, w, c)
	})
}

// region leases a region of memory, and returns the token.
func region(t *testing.T, c *client, ttl time.Duration) ticket {
	t.Helper()
	r := api.LeaseRequest{Provider: provider, TTLMs: ttl.Milliseconds(), Priority: api.PriorityStandard, Resources: api.Resources{Mem: 1 << 20}}
	g, err := write(t.Context(), c, func(ctx context.Context, ctl *control.Control, o api.WriteOptions) (*api.GrantSet, error) {
		return ctl.RequestLeases(ctx, r, o)
	})
	if err != nil {
		t.Fatal(err)
	}
	c.got(g)
	return c.tickets[len(c.tickets)-1]
}

// uses is how many operations were served.
func (c *check) uses() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acks["use"]
}

// TestTokenOpensItsLease: a client reads at its cell with its token; not at another one, not with
// one that the cell did not mint, and not with the one of before a renewal.
func TestTokenOpensItsLease(t *testing.T) {
	settled(t, func(t *testing.T, w *World, c *client) {
		t.Helper()
		k := region(t, c, 30*time.Second)
		try := func(k ticket, at api.CellID, forged bool) bool {
			was := w.check.uses()
			c.present(t.Context(), k, at, forged)
			return w.check.uses() > was
		}
		if !try(k, k.lease.CellID, false) {
			t.Error("its own token is refused")
		}
		for _, h := range w.hosts {
			if h.id != k.lease.CellID && try(k, h.id, false) {
				t.Errorf("cell %s takes a token of cell %s", h.id, k.lease.CellID)
			}
		}
		forged := k
		var err error
		if forged.token, err = w.hostAt(k.lease.CellID).forger.Mint(k.lease, time.Second); err != nil {
			t.Fatal(err)
		}
		if try(forged, k.lease.CellID, true) {
			t.Error("a forged token is taken")
		}
		a, err := write(t.Context(), c, func(ctx context.Context, ctl *control.Control, o api.WriteOptions) (*api.LeaseAnswer, error) {
			return ctl.RenewLease(ctx, k.lease.ID, api.RenewRequest{TTLMs: 20_000}, o)
		})
		if err != nil {
			t.Fatal(err)
		}
		w.check.renewed(a.Lease.Lease)
		c.keep(a.Lease)
		if try(k, k.lease.CellID, false) {
			t.Error("a token of before a renewal is taken")
		}
		if !try(c.tickets[len(c.tickets)-1], k.lease.CellID, false) {
			t.Error("the token of a renewal is refused")
		}
	})
}

// TestStandingCellServesNothing: an agent stands still beyond the end of what it has bound. Whoever
// waited for it is the first when it goes on, before the alarm perhaps: nothing is served. What it had
// bound is gone within its bound then.
func TestStandingCellServesNothing(t *testing.T) {
	settled(t, func(t *testing.T, w *World, c *client) {
		t.Helper()
		for range 30 {
			k := region(t, c, 2*time.Second)
			a := w.hostAt(k.lease.CellID).alive()
			c.present(t.Context(), k, k.lease.CellID, false)
			served := w.check.uses()
			for a.binds.busy() {
				pass(t.Context(), time.Millisecond)
			}
			a.proc.stand()
			pass(t.Context(), time.Second)
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.present(t.Context(), k, k.lease.CellID, false)
			}()
			pass(t.Context(), 1500*time.Millisecond)
			if a.binds.count() == 0 {
				t.Error("a process that stands still has closed a binding")
			}
			a.proc.goOn()
			<-done
			if now := w.check.uses(); now != served {
				t.Fatalf("an operation is served %s after its lease's end", time.Duration(a.host.boot.Now()-k.says.ends))
			}
			pass(t.Context(), api.TeardownBound+wakes)
			if n := a.binds.count(); n != 0 {
				t.Fatalf("%d bindings are open a second after the agent went on", n)
			}
			pass(t.Context(), 3*time.Second)
		}
		if w.check.uses() != 30 {
			t.Errorf("of 30 operations in time %d were served", w.check.uses())
		}
	})
}

// TestStandingCellIsGivenAgain: an agent stands still for so long that all that it had is given
// again. It goes on with what is new, and nothing is held twice.
func TestStandingCellIsGivenAgain(t *testing.T) {
	settled(t, func(t *testing.T, w *World, c *client) {
		t.Helper()
		k := region(t, c, 2*time.Second)
		a := w.hostAt(k.lease.CellID).alive()
		a.proc.stand()
		pass(t.Context(), 30*time.Second)
		if n := w.leader().machine.View().Counts().LiveLeases; n != 0 {
			t.Errorf("%d leases live long after the agent must have stopped them", n)
		}
		a.proc.goOn()
		pass(t.Context(), 5*time.Second)
		for range 12 {
			next := region(t, c, 5*time.Second)
			c.present(t.Context(), next, next.lease.CellID, false)
		}
		if w.check.uses() != 12 {
			t.Errorf("of 12 operations %d were served", w.check.uses())
		}
	})
}

// TestKilledInAHandOver: a leader dies in the middle of its hand-over; another one leads, and its
// seat is free for its next life.
func TestKilledInAHandOver(t *testing.T) {
	quiet(t, func(t *testing.T, w *World, _ *scheduler) {
		t.Helper()
		for range 40 {
			_, up := w.killHandingOver(t.Context())
			if up == nil {
				t.Fatal("there was no leader to kill")
			}
			up()
			w.mend()
			if !w.within(leaderWithin, func() bool { return w.leader() != nil }) {
				t.Fatal("nobody leads")
			}
			pass(t.Context(), 2*time.Second)
		}
		led, late := w.counts["leader kills"], w.counts["killed behind a hand-over"]
		if led < 4 || late > 30 {
			t.Errorf("of 40 leaders %d still led when they were killed, and %d had handed over", led, late)
		}
	})
}
