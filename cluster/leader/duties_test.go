package leader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

func TestStart(t *testing.T) {
	bubble(t, func(r *rig) {
		if _, gate, _, _ := r.seen(); !gate {
			r.t.Error("the gate is closed")
		}
		if got := r.m.View().ClusterID(); got != "g-test" {
			r.t.Errorf("cluster %q", got)
		}
		if p, ok := r.m.View().Provider("aws"); !ok || !p.Enabled {
			r.t.Errorf("provider %+v", p)
		}
	})
}

// TestStartFails: leadership is given away, and where nobody takes it the leader goes on
// trying, behind a closed gate.
func TestStartFails(t *testing.T) {
	tests := []struct {
		name  string
		wrong func(r *rig)
		mend  func(r *rig)
	}{
		{
			"barrier",
			func(r *rig) { r.barrier = errors.New("the disk is slow") },
			func(r *rig) { r.change(func() { r.barrier = nil }) },
		},
		{
			"first entry",
			func(r *rig) {
				r.holding(func(context.Context, fsm.Entry) error { return api.Refuse(api.NoLeader, "the queue is full") })
			},
			func(r *rig) { r.holding(nil) },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				if _, err := r.apply(fsm.Entry{Wall: 1, Commands: []fsm.Command{fsm.InitCluster{ClusterID: "g-test"}}}); err != nil {
					t.Fatal(err)
				}
				tt.wrong(r)
				r.start()
				t.Cleanup(r.stop)
				if given, gate, _, _ := r.seen(); given != 1 || gate {
					t.Fatalf("given away %d times, gate %v", given, gate)
				}
				if _, err := r.l.Submit(t.Context(), fsm.Tick{}); api.KindOf(err) != api.NoLeader {
					t.Errorf("got %v", err)
				}
				tt.mend(r)
				time.Sleep(startAgain)
				synctest.Wait()
				if _, gate, _, _ := r.seen(); !gate {
					t.Error("the gate is still closed")
				}
			})
		})
	}
}

// TestAnotherClustersLog: whoever leads it must not decide in it.
func TestAnotherClustersLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		if _, err := r.apply(fsm.Entry{Wall: 1, Commands: []fsm.Command{fsm.InitCluster{ClusterID: "g-other"}}}); err != nil {
			t.Fatal(err)
		}
		r.start()
		t.Cleanup(r.stop)
		time.Sleep(startAgain)
		synctest.Wait()
		if given, gate, _, _ := r.seen(); given != 2 || gate {
			t.Errorf("given away %d times, gate %v", given, gate)
		}
	})
}

// TestTime: cluster time goes on with nothing to do, and stands still between two leaders.
func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start()
		r.pass(time.Minute)
		if got := time.Duration(r.m.View().Now()); got < time.Minute-2*tickEvery || got > time.Minute {
			t.Errorf("after a minute it is %s", got)
		}
		entries := len(r.entries)
		if entries > 62 {
			t.Errorf("%d entries in an idle minute", entries)
		}
		r.stop()
		before := r.m.View().Now()
		time.Sleep(time.Hour)
		r.start()
		if got := time.Duration(r.m.View().Now() - before); got != 0 {
			t.Errorf("%s went by without a leader", got)
		}
		r.stop()
	})
}

// TestForgetsWhileBusy: what is long over is forgotten however much of what grants nothing is
// committed, also while somebody is refused all the time.
func TestForgetsWhileBusy(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		const tokens = 600 // more than two entries forget
		for i := range tokens {
			r.must(fsm.UseToken{Actor: "operator/root", JTI: fmt.Sprint("t", i), Purpose: fsm.PurposeLogin, Uses: 1, Expires: time.Now().Add(time.Minute).Unix(), SPKI: "ab"})
		}
		left := func() (n int) {
			for i := range tokens {
				if _, ok := r.m.View().Token(fmt.Sprint("t", i)); ok {
					n++
				}
			}
			return n
		}
		last, _ := r.m.View().Token(fmt.Sprint("t", tokens-1))
		for now := r.m.View().Now(); now < last.KeepTill; now = r.m.View().Now() { // a day of entries that forget nothing
			if _, err := r.apply(fsm.Entry{Tick: now + fsm.MaxStep, Wall: 1}); err != nil {
				r.t.Fatal(err)
			}
		}
		if n := left(); n != tokens {
			r.t.Fatalf("%d of %d tokens are left before anything forgets", n, tokens)
		}
		for range 12 { // more often than time would need a tick
			r.must(fsm.ReferBlob{Tenant: "acme", Digest: api.Digest("sha256:" + strings.Repeat("0", 64)), Size: 1})
			_, _ = r.l.Admit(r.t.Context(), grant(4001))
			time.Sleep(200 * time.Millisecond)
		}
		if n := left(); n != 0 {
			r.t.Errorf("%d of %d tokens are kept beyond their time", n, tokens)
		}
	})
}

func TestBindTimeout(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		bound, lost := r.admit(grant(1)).Leases[0], r.admit(grant(1)).Leases[0]
		r.bind(bound)
		r.pass(api.BindBound - time.Second)
		r.wantLease(lost, api.LeaseActive, "")
		r.pass(2 * time.Second)
		r.wantLease(lost, api.LeaseForcedTeardown, fsm.ReasonBindTimeout)
		r.wantLease(bound, api.LeaseActive, "")
	})
}

// TestExpiry: a lease ends in time, and what its cell does not confirm comes back when the
// cell must have stopped by itself.
func TestExpiry(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		confirmed, silent := r.admit(grant(1)).Leases[0], r.admit(grant(1)).Leases[0]
		r.bind(confirmed)
		r.bind(silent)
		r.pass(59 * time.Second)
		r.wantLease(confirmed, api.LeaseActive, "")
		r.pass(2 * time.Second)
		r.wantLease(confirmed, api.LeaseExpired, fsm.ReasonExpired)
		r.tearDown(confirmed)
		r.wantLease(confirmed, api.LeaseTornDown, fsm.ReasonExpired)
		r.pass(8 * time.Second)
		r.wantLease(silent, api.LeaseExpired, fsm.ReasonExpired)
		if used := r.m.View().Used("c1"); used.CPU != 1 {
			r.t.Errorf("used %v", used)
		}
		r.pass(api.HoldDown(time.Minute))
		r.wantLease(silent, api.LeaseFailedClosed, fsm.ReasonExpired)
		if used := r.m.View().Used("c1"); used.CPU != 0 {
			r.t.Errorf("used %v", used)
		}
	})
}

// TestCellFirst: a lease that its cell ends in time is not proposed to be advanced, one that
// its cell does not end is, soon after.
func TestCellFirst(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		ended, silent := r.admit(grant(1)).Leases[0], r.admit(grant(1)).Leases[0]
		r.bind(ended)
		r.bind(silent)
		l := r.lease(ended)
		time.Sleep(time.Duration(l.Expires-r.m.View().Now()) + cellFirst/2)
		r.beat()
		r.must(fsm.ReportCell{Cell: l.CellID, Epoch: r.cells[l.CellID], Ended: []api.EndedReport{{
			LeaseID: ended, Epoch: l.Epoch, State: api.LeaseTornDown, Reason: fsm.ReasonExpired,
		}}})
		r.wantLease(ended, api.LeaseTornDown, fsm.ReasonExpired)
		r.wantLease(silent, api.LeaseActive, "")
		time.Sleep(cellFirst)
		synctest.Wait()
		r.wantLease(silent, api.LeaseExpired, fsm.ReasonExpired)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, e := range r.entries {
			for _, c := range e.Commands {
				if a, ok := c.(fsm.AdvanceLeases); ok && slices.Contains(a.Leases, ended) {
					r.t.Errorf("proposed: %+v", a)
				}
			}
		}
	})
}

// TestCellFirstWhereMuchGoesOn: while many bindings are outstanding a cell is given longer, and no
// more than that.
func TestCellFirstWhereMuchGoesOn(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		silent := r.admit(grant(1)).Leases[0]
		r.bind(silent)
		l := r.lease(silent)
		before := l.Expires - api.Tick(cellFirst)
		r.pass(time.Duration(before-r.m.View().Now()) - 2*time.Second) // in whole seconds
		time.Sleep(time.Duration(before - r.m.View().Now()))
		r.beat()
		for range muchGoesOn {
			r.admit(grant(1))
		}
		time.Sleep(cellFirstBusy)
		synctest.Wait()
		r.wantLease(silent, api.LeaseActive, "")
		time.Sleep(2 * cellFirst)
		synctest.Wait()
		r.wantLease(silent, api.LeaseExpired, fsm.ReasonExpired)
	})
}

// TestRenewedMeanwhile: a proposal that a renewal overtook changes nothing.
func TestRenewedMeanwhile(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		id := r.admit(grant(1)).Leases[0]
		r.bind(id)
		for range 4 {
			r.pass(30 * time.Second)
			r.must(fsm.RenewLease{Actor: "tenant/acme", Lease: id, TTLMs: 60_000})
		}
		r.wantLease(id, api.LeaseActive, "")
	})
}

// TestManyDue: more than one proposal holds.
func TestManyDue(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		out := r.all(dueAtOnce+50, func(int) fsm.GrantLeases { return grant(1) })
		r.pass(api.BindBound + 2*time.Second)
		for _, o := range out {
			r.wantLease(o.res.Leases[0], api.LeaseForcedTeardown, fsm.ReasonBindTimeout)
		}
	})
}

// TestRevocation: warned, forced, torn down, barred.
func TestRevocation(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1", "c2")
		g := grant(4000)
		first, second := r.admit(g).Leases[0], r.admit(g).Leases[0]
		r.bind(first)
		r.bind(second)
		id := first
		cell := r.lease(id).CellID
		r.must(fsm.RevokeCell{Actor: "operator/root", Provider: "aws", Cell: cell, GraceMs: 5000})
		r.wantLease(id, api.LeaseRevokeWarning, fsm.ReasonCellRevoked)
		if _, err := r.l.Admit(r.t.Context(), grant(1)); err == nil {
			r.t.Error("admitted to a cell that is being revoked")
		}
		r.pass(4 * time.Second)
		r.wantLease(id, api.LeaseRevokeWarning, fsm.ReasonCellRevoked)
		r.pass(2 * time.Second)
		r.wantLease(id, api.LeaseForcedTeardown, fsm.ReasonCellRevoked)
		if r.record(cell).Revoked {
			r.t.Error("barred while a lease is left")
		}
		// The first attempt to bar it is lost.
		r.holding(func(_ context.Context, e fsm.Entry) error {
			if _, ok := e.Commands[0].(fsm.BarCell); ok {
				r.holding(nil)
				return api.Refuse(api.NoLeader, "the queue was full")
			}
			return nil
		})
		r.tearDown(id)
		synctest.Wait()
		if r.record(cell).Revoked {
			r.t.Error("barred by an entry that was lost")
		}
		r.pass(2 * barAgain)
		if !r.record(cell).Revoked {
			r.t.Error("not barred")
		}
		if n := len(commands[fsm.BarCell](r.fakeNode)); n != 1 {
			r.t.Errorf("barred %d times", n)
		}
		r.wantLease(second, api.LeaseActive, "")
		before := len(commands[fsm.ChangeHealth](r.fakeNode))
		r.pass(10 * time.Second)
		for _, c := range commands[fsm.ChangeHealth](r.fakeNode)[before:] {
			for _, h := range c.Changes {
				if h.Cell == cell {
					r.t.Fatalf("a cell that was barred is judged again: %+v", h)
				}
			}
		}
	})
}

// TestRevokeSilentCell: a cell that confirms nothing is barred when it must have stopped.
func TestRevokeSilentCell(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		id := r.admit(grant(1)).Leases[0]
		r.bind(id)
		r.must(fsm.RevokeCell{Actor: "operator/root", Provider: "aws", Cell: "c1", GraceMs: 0})
		r.pass(api.HoldDown(time.Minute) + time.Minute + 5*time.Second)
		r.wantLease(id, api.LeaseFailedClosed, fsm.ReasonCellRevoked)
		if !r.record("c1").Revoked {
			r.t.Error("not barred")
		}
	})
}

// TestLostRunRetried: on a cell that is ready, when the lost one must have stopped.
func TestLostRunRetried(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1", "c2")
		res := r.admit(grantRun(1))
		first := r.lease(res.Leases[0]).CellID
		for _, id := range res.Leases {
			r.bind(id)
		}
		r.mute[first] = true
		r.must(fsm.ReportCell{Cell: first, Epoch: r.cells[first], Runs: []api.RunReport{{RunID: res.Run, Attempt: 1, State: api.RunLost}}})
		r.pass(30 * time.Second) // its cell is unhealthy, its leases are not torn down
		if run, _ := r.m.View().Run(res.Run); run.Attempt != 1 {
			r.t.Fatalf("placed again before the lost cell has stopped: %+v", run)
		}
		for _, id := range res.Leases {
			r.tearDown(id)
		}
		r.pass(2 * time.Second)
		run, _ := r.m.View().Run(res.Run)
		if run.State != api.RunPlaced || run.Attempt != 2 || run.CellID == first {
			r.t.Errorf("got %+v, first on %s", run, first)
		}
	})
}

// TestLostRunsTakeTurns: runs that fit nowhere do not keep others from being placed.
func TestLostRunsTakeTurns(t *testing.T) {
	bubble(t, func(r *rig) {
		r.tenant("acme", api.NoQuota())
		r.join("c1", "c2")
		r.pass(warmup + 2*beat)
		// Nothing is placed again for now; what shares an entry with it is repeated.
		r.holding(func(_ context.Context, e fsm.Entry) error {
			for _, c := range e.Commands {
				if g, ok := c.(fsm.GrantLeases); ok && g.Actor == "scheduler" {
					return api.Refuse(api.NoLeader, "not now")
				}
			}
			return nil
		})
		lose := func(g fsm.GrantLeases) api.RunID {
			res, err := r.l.Admit(r.t.Context(), g)
			for ; err != nil; res, err = r.l.Admit(r.t.Context(), g) {
				r.pass(time.Second)
			}
			var gone fsm.ReportCell
			for _, id := range res.Leases {
				l := r.lease(id)
				gone.Cell, gone.Epoch = l.CellID, r.cells[l.CellID]
				gone.Ended = append(gone.Ended, api.EndedReport{LeaseID: id, Epoch: l.Epoch, State: api.LeaseTornDown})
			}
			if _, err := r.apply(fsm.Entry{Tick: r.l.term.Load().now(), Wall: 1, Commands: []fsm.Command{gone}}); err != nil {
				r.t.Fatal(err)
			}
			return res.Run
		}
		var first []api.RunID
		for range 2 * retryAtOnce {
			g := grantRun(1)
			g.Items[0].Amount, g.Run.Resources.CPU = 4000, 4000
			first = append(first, lose(g))
		}
		for range 2 {
			for _, err := r.l.Admit(r.t.Context(), grant(3000)); err != nil; _, err = r.l.Admit(r.t.Context(), grant(3000)) {
				r.pass(time.Second)
			}
		}
		last := lose(grantRun(1))
		r.holding(nil)
		r.pass(10 * time.Second)
		if run, _ := r.m.View().Run(last); run.Attempt != 2 {
			r.t.Errorf("the small run waits behind the large ones: %+v", run)
		}
		if run, _ := r.m.View().Run(first[0]); run.State != api.RunAdmitted {
			r.t.Errorf("a large run is %s", run.State)
		}
		// Nobody waits for ever: what fits nowhere for as long as it may take is lost.
		r.pass(2 * time.Minute)
		if run, _ := r.m.View().Run(first[0]); run.State != api.RunLost || !strings.Contains(run.Failure.Message, "no cell took it again") {
			r.t.Errorf("a run that fits nowhere is %s after two minutes: %s", run.State, run.Failure.Message)
		}
	})
}
