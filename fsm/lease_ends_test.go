package fsm

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func TestFreeLease(t *testing.T) {
	r := newRig(t).cluster()
	r.refused(api.NotFound, FreeLease{Lease: "l1"})
	r.refused(api.InvalidArgument, FreeLease{})
	r.refused(api.TooLarge, FreeLease{Lease: "l1", Reason: strings.Repeat("x", maxReason+1)})
	r.must(grant(cpu("l1", 1000)))
	res := r.must(FreeLease{Actor: "tenant/acme", Lease: "l1"})
	if !res.Changed || !slices.Equal(res.Leases, []api.LeaseID{"l1"}) {
		t.Errorf("result %+v", res)
	}
	r.wantState("l1", api.LeaseForcedTeardown, ReasonReleased)
	if r.m.View().Used("aws-1").CPU != 1000 {
		t.Error("the capacity came back before the cell confirmed")
	}
	late := ReportCell{Cell: "aws-1", Epoch: 1, Bound: []api.BoundReport{{LeaseID: "l1", Epoch: r.lease("l1").Epoch, Generation: 1}}}
	if res := r.must(late); res.Changed || len(res.Refused) != 1 || res.Refused[0].Kind != api.LeaseRevoked {
		t.Errorf("bound although it is ending: %+v", res)
	}
	if res := r.must(FreeLease{Lease: "l1"}); res.Changed {
		t.Errorf("freed twice: %+v", res)
	}
	r.ended(api.LeaseTornDown, "", "l1")
	r.wantState("l1", api.LeaseTornDown, ReasonReleased)
	if res := r.must(FreeLease{Lease: "l1"}); res.Changed || r.m.View().Used("aws-1").CPU != 0 {
		t.Errorf("freed after its end: %+v", res)
	}
}

func TestRevokeLease(t *testing.T) {
	r := newRig(t).cluster()
	r.refused(api.NotFound, RevokeLease{Lease: "l1"})
	r.must(grant(cpu("l1", 1), cpu("l2", 1)))
	r.refused(api.InvalidArgument, RevokeLease{Lease: "l1", GraceMs: -1})
	r.refused(api.InvalidArgument, RevokeLease{Lease: "l1", GraceMs: maxGrace + 1})
	audits := len(r.audit)
	r.must(RevokeLease{Lease: "l1"})
	r.wantState("l1", api.LeaseForcedTeardown, ReasonRevoked)
	r.bound("l2")
	r.must(RevokeLease{Lease: "l2", GraceMs: 2000})
	r.wantState("l2", api.LeaseRevokeWarning, ReasonRevoked)
	if got := r.audited(audits); !slices.Equal(got, []string{"lease_revoked", "lease_revoked"}) {
		t.Errorf("audited %v", got)
	}
	if res := r.must(RevokeLease{Lease: "l2", GraceMs: 5000}); res.Changed {
		t.Error("a second revocation lengthened the grace")
	}
	r.must(RevokeLease{Lease: "l2", GraceMs: 1000})
	if at, ok := r.m.View().NextDue(); !ok || at != r.tick+api.Tick(time.Second) {
		t.Errorf("due at %d", at)
	}
	r.refused(api.LeaseRevoked, RenewLease{Lease: "l2", TTLMs: 60_000})
	r.pass(time.Second)
	r.due()
	r.wantState("l2", api.LeaseForcedTeardown, ReasonRevoked)
	r.refused(api.LeaseRevoked, RenewLease{Lease: "l2", TTLMs: 60_000})
	if res := r.must(RevokeLease{Lease: "l2"}); res.Changed {
		t.Error("revoked twice")
	}
}

func TestRenewLease(t *testing.T) {
	r := newRig(t).cluster()
	r.refused(api.NotFound, RenewLease{Lease: "l1", TTLMs: 60_000})
	r.must(grant(cpu("l1", 1)))
	r.refused(api.InvalidArgument, RenewLease{Lease: "l1", TTLMs: 1})
	r.bound("l1")
	r.pass(30 * time.Second)
	res := r.must(RenewLease{Lease: "l1", TTLMs: 60_000, Stamp: api.Stamp{BootID: "boot", BootTime: 7}})
	l := r.lease("l1")
	if !res.Changed || l.Generation != 2 || l.BoundGeneration != 1 || l.Expires != r.tick+api.Tick(time.Minute) || l.Stamp.BootTime != 7 || l.TTLMs != 60_000 {
		t.Errorf("lease %+v", l)
	}
	r.bound("l1")
	if l := r.lease("l1"); l.BoundGeneration != 2 {
		t.Errorf("bound generation %d", l.BoundGeneration)
	}
	r.pass(time.Minute)
	another := func(kind api.Kind) {
		t.Helper()
		if p := r.refusal(kind, RenewLease{Lease: "l1", TTLMs: 60_000}); !strings.Contains(p.Hint, "request another with: grafos lease request") {
			t.Errorf("%v: hint %q", p, p.Hint)
		}
	}
	another(api.LeaseExpiredKind)
	r.due()
	r.wantState("l1", api.LeaseExpired, ReasonExpired)
	another(api.LeaseExpiredKind)
	r.ended(api.LeaseFenced, "no", "l1")
	if p := r.refusal(api.LeaseFencedKind, RenewLease{Lease: "l1", TTLMs: 60_000}); !strings.Contains(p.Hint, "grafos admin unfence-lease l1") {
		t.Errorf("a fenced lease: hint %q", p.Hint)
	}
	r.must(RaiseLevel{Level: 2})
	r.pass(time.Second)
	r.must(UnfenceLease{Lease: "l1"})
	another(api.LeaseFencedKind)
	r.must(grant(cpu("l2", 1)))
	r.bound("l2")
	r.must(RevokeLease{Lease: "l2", GraceMs: 5_000})
	if p := r.refusal(api.LeaseRevoked, RenewLease{Lease: "l2", TTLMs: 60_000}); !strings.Contains(p.Hint, "save what it holds") {
		t.Errorf("a warned lease: hint %q", p.Hint)
	}
}

// However leases are renewed, the time by which the cell has stopped never moves back: it
// may have missed the renewal (L4). Nor does the deadline, and it stays within the bounds.
func TestRenewalNeverStopsEarlier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t).cluster()
		c := grant(cpu("l1", 1))
		c.TTLMs = rapid.Int64Range(1000, 86_400_000).Draw(t, "ttl")
		r.must(c)
		r.bound("l1")
		for range 5 {
			before := r.lease("l1")
			r.tick += api.Tick(rapid.Int64Range(0, int64(MaxStep)).Draw(t, "pass"))
			ttl := rapid.Int64Range(1000, 86_400_000).Draw(t, "renewal")
			if r.one(RenewLease{Lease: "l1", TTLMs: ttl}).Problem != nil {
				return // it ran out
			}
			after := r.lease("l1")
			if after.StoppedBy() < before.StoppedBy() || after.Expires < before.Expires {
				t.Fatalf("renewed for %d ms: stops at %d and expires at %d, before at %d and %d", ttl, after.StoppedBy(), after.Expires, before.StoppedBy(), before.Expires)
			}
			if after.TTLMs < ttl || after.TTLMs > api.MaxTTL.Milliseconds() {
				t.Fatalf("renewed for %d ms, got %d", ttl, after.TTLMs)
			}
		}
	})
}

func TestAdvanceLeases(t *testing.T) {
	r := newRig(t).cluster()
	r.refused(api.TooLarge, AdvanceLeases{Leases: make([]api.LeaseID, MaxAdvance+1)})
	r.must(grant(cpu("bound", 1), cpu("unbound", 1)))
	r.bound("bound")
	if res := r.must(AdvanceLeases{Leases: []api.LeaseID{"bound", "unbound", "unknown"}}); res.Changed || len(res.Leases) != 0 {
		t.Errorf("advanced what is not due: %+v", res)
	}
	r.pass(api.BindBound)
	if res := r.due(); !slices.Equal(res.Leases, []api.LeaseID{"unbound"}) {
		t.Errorf("due %v", res.Leases)
	}
	r.wantState("unbound", api.LeaseForcedTeardown, ReasonBindTimeout)
	r.pass(time.Minute - api.BindBound)
	r.due()
	r.wantState("bound", api.LeaseExpired, ReasonExpired)

	// Nobody answers: what the cell may still hold stays taken until it must have stopped.
	hold := api.HoldDown(time.Minute)
	r.pass(hold - time.Nanosecond)
	if res := r.must(AdvanceLeases{Leases: []api.LeaseID{"bound", "unbound"}}); len(res.Leases) != 0 {
		t.Errorf("failed closed too early: %v", res.Leases)
	}
	r.pass(time.Nanosecond)
	r.due()
	r.wantState("bound", api.LeaseFailedClosed, ReasonExpired)
	r.wantState("unbound", api.LeaseFailedClosed, ReasonBindTimeout)
	if r.m.View().Used("aws-1").CPU != 0 {
		t.Error("the capacity did not come back")
	}
	// The cell returns and reports them wiped: nothing changes, and nothing is refused.
	if res := r.ended(api.LeaseTornDown, "wiped", "bound", "unbound"); res.Changed || len(res.Refused) != 0 {
		t.Errorf("result %+v", res)
	}
	r.pass(2*time.Hour + time.Second)
	if n := r.m.View().Counts().Leases; n != 0 {
		t.Errorf("%d ended leases are kept", n)
	}
}

// A leader that was away sees everything late: what came due first is what happened.
func TestAdvanceLate(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grant(cpu("l1", 1)))
	c := grant(cpu("l2", 1))
	c.TTLMs = 2000
	r.must(c)
	r.pass(2 * time.Minute)
	r.due()
	r.wantState("l1", api.LeaseForcedTeardown, ReasonBindTimeout)
	r.wantState("l2", api.LeaseExpired, ReasonExpired)
}

// Time moves by a bounded step and never back, whatever a leader proposes.
func TestClusterTime(t *testing.T) {
	r := newRig(t).cluster()
	for _, c := range []struct{ proposed, want api.Tick }{
		{100, 100}, {50, 50 + 50}, {-1, 100}, {1 << 62, 100 + MaxStep}, {200, 100 + MaxStep}, {100 + MaxStep + 1, 100 + MaxStep + 1},
	} {
		r.tick = c.proposed
		r.do(Tick{})
		if got := r.m.View().Now(); got != c.want {
			t.Errorf("proposed %d: now %d, want %d", c.proposed, got, c.want)
		}
	}
	for id, wall := range map[api.LeaseID]int64{"l1": -1 << 62, "l2": 1<<63 - 1} {
		r.wall = wall
		r.must(grant(cpu(id, 1)))
	}
}
