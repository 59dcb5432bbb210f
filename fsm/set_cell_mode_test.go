package fsm

import (
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func (r *rig) mode(to api.CellMode) SetCellMode {
	return SetCellMode{Actor: "operator/root", Provider: "aws", Cell: "aws-1", Mode: to}
}

func (r *rig) wantMode(mode api.CellMode, state api.CellState) {
	r.t.Helper()
	c := r.cell("aws-1")
	if got := r.m.View().CellState(c); c.Mode != mode || got != state {
		r.t.Errorf("the cell is %s and shown as %s, want %s and %s", c.Mode, got, mode, state)
	}
}

// A drain closes the cell, waits for its leases, and its way back ends in accepting.
func TestDrain(t *testing.T) {
	r := newRig(t).cluster()
	r.refused(api.Conflict, r.mode(api.ModeDraining)) // below its level
	r.must(RaiseLevel{Level: 2})
	r.must(grant(cpu("l1", 1000)))
	before := len(r.audit)
	r.must(r.mode(api.ModeDraining))
	r.wantMode(api.ModeDraining, api.CellDraining)
	r.wantState("l1", api.LeaseActive, "")
	if res := r.do(grant(cpu("l2", 1000)))[0]; res.Problem == nil {
		t.Error("a draining cell takes a lease")
	}
	r.refused(api.Conflict, r.mode(api.ModeDrained)) // it has a lease
	if res := r.must(r.mode(api.ModeDraining)); res.Changed {
		t.Error("draining again changed something")
	}
	r.must(FreeLease{Lease: "l1"})
	r.ended(api.LeaseTornDown, "", "l1")
	r.must(r.mode(api.ModeDrained))
	r.wantMode(api.ModeDrained, api.CellDrained)
	r.refused(api.Conflict, r.mode(api.ModeAccepting))
	for _, to := range []api.CellMode{api.ModeMaintenance, api.ModeDrained} { // as an operator drains it again
		again := r.mode(api.ModeDraining)
		again.DrainTo, again.GraceMs = to, 1000
		if r.must(again); r.cell("aws-1").Mode != to || r.cell("aws-1").DrainTo != "" {
			t.Errorf("drained again it is %s", r.cell("aws-1").Mode)
		}
	}
	r.must(r.mode(api.ModeMaintenance))
	r.wantMode(api.ModeMaintenance, api.CellMaintenance)
	r.must(r.mode(api.ModeReturning))
	r.wantMode(api.ModeReturning, api.CellWarming)
	if res := r.do(grant(cpu("l2", 1000)))[0]; res.Problem == nil {
		t.Error("a returning cell takes a lease")
	}
	r.must(r.mode(api.ModeAccepting))
	r.wantMode(api.ModeAccepting, api.CellReady)
	if res := r.must(r.mode(api.ModeAccepting)); res.Changed {
		t.Error("accepting again changed something")
	}
	r.must(grant(cpu("l2", 1000)))
	want := []string{
		"cell_draining", "lease_released", "lease_torndown",
		"cell_drained", "cell_maintenance", "cell_drained", "cell_maintenance", "cell_returning", "cell_accepting", "lease_granted",
	}
	if got := r.audited(before); !equal(got, want) {
		t.Errorf("audited %v, want %v", got, want)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// With a grace its leases are warned, and forced down when it is over; a shorter one replaces it.
func TestDrainWithGrace(t *testing.T) {
	r := newRig(t).cluster()
	r.must(RaiseLevel{Level: 2})
	r.must(grant(cpu("l1", 1000)))
	drain := r.mode(api.ModeDraining)
	drain.GraceMs, drain.DrainTo = 30_000, api.ModeMaintenance
	r.must(drain)
	r.wantState("l1", api.LeaseRevokeWarning, ReasonCellDrained)
	first := r.lease("l1").ForceAt
	drain.GraceMs = 60_000
	if res := r.must(drain); res.Changed {
		t.Error("a longer grace changed something")
	}
	drain.GraceMs = 5000
	r.must(drain)
	if at := r.lease("l1").ForceAt; at >= first {
		t.Errorf("forced at %d, before at %d", at, first)
	}
	r.pass(6 * time.Second)
	r.must(AdvanceLeases{Leases: []api.LeaseID{"l1"}})
	r.wantState("l1", api.LeaseForcedTeardown, ReasonCellDrained)
	r.ended(api.LeaseTornDown, "", "l1")
	if c := r.cell("aws-1"); c.DrainTo != api.ModeMaintenance {
		t.Errorf("then it becomes %q", c.DrainTo)
	}
	r.must(r.mode(api.ModeMaintenance))
	// Draining what holds nothing is a step at once.
	r.must(r.mode(api.ModeDraining))
	r.wantMode(api.ModeDrained, api.CellDrained)
	r.must(r.mode(api.ModeReturning))
	r.must(r.mode(api.ModeDraining))
	r.wantMode(api.ModeDraining, api.CellDraining)
	r.must(r.mode(api.ModeReturning))
	r.must(RevokeCell{Provider: "aws", Cell: "aws-1", Now: true})
	r.refused(api.Conflict, r.mode(api.ModeAccepting))
}

func TestSetCellModeRefuses(t *testing.T) {
	r := newRig(t).cluster()
	r.must(RaiseLevel{Level: 2})
	unknown, other := r.mode(api.ModeDraining), r.mode(api.ModeDraining)
	unknown.Cell, other.Provider = "aws-9", "gcp"
	r.refused(api.NotFound, unknown)
	r.refused(api.NotFound, other)
	r.refused(api.InvalidArgument, r.mode("asleep"))
	r.refused(api.InvalidArgument, r.mode(""))
	to, grace, long := r.mode(api.ModeDraining), r.mode(api.ModeReturning), r.mode(api.ModeDraining)
	to.DrainTo, grace.GraceMs, long.GraceMs = api.ModeReturning, 1, maxGrace+1
	for _, c := range []SetCellMode{to, grace, long} {
		r.refused(api.InvalidArgument, c)
	}
	r.refused(api.Conflict, r.mode(api.ModeDrained)) // it does not drain
}
