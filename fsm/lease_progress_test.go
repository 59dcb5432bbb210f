package fsm

import (
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func (r *rig) progress(state api.LeaseState, ids ...api.LeaseID) Result {
	r.t.Helper()
	c := ReportCell{Cell: "aws-1", Epoch: 1}
	for _, id := range ids {
		c.Progress = append(c.Progress, api.LeaseProgress{LeaseID: id, Epoch: r.lease(id).Epoch, State: state})
	}
	return r.one(c)
}

// TestLeaseProgress walks an announced end through what its cell says of it. What was not announced
// stays as it is, what has gone further too, and nothing is written below its level.
func TestLeaseProgress(t *testing.T) {
	r := newRig(t).cluster()
	for _, id := range []api.LeaseID{"l1", "l2", "l3"} {
		r.must(grant(cpu(id, 1000)))
	}
	r.must(RevokeLease{Lease: "l1", GraceMs: 10_000})
	if res := r.progress(api.LeaseGraceRunning, "l1"); kindOf(res.Problem) != api.Conflict {
		t.Errorf("below its level: %v", res.Problem)
	}
	r.must(RaiseLevel{Level: LevelProgress})
	r.must(RevokeLease{Lease: "l2", GraceMs: 10_000})
	audits := len(r.audit)
	for range 2 {
		r.progress(api.LeaseGraceRunning, "l1", "l3")
	}
	r.wantState("l1", api.LeaseGraceRunning, ReasonRevoked)
	r.wantState("l3", api.LeaseActive, "")
	r.progress(api.LeaseCheckpoint, "l1", "l2", "l3")
	r.progress(api.LeaseGraceRunning, "l1")
	for _, id := range []api.LeaseID{"l1", "l2"} {
		r.wantState(id, api.LeaseCheckpoint, ReasonRevoked)
	}
	if n := len(r.audit) - audits; n != 0 {
		t.Errorf("%d audit records", n)
	}
	if res := r.progress(api.LeaseTornDown, "l1"); len(res.Refused) != 1 || res.Refused[0].Kind != api.InvalidArgument {
		t.Errorf("an end was said in the wrong place: %+v", res)
	}
	r.ended(api.LeaseTornDown, ReasonRevoked, "l1") // straight from there: nothing is forced
	r.wantState("l1", api.LeaseTornDown, ReasonRevoked)
	if got := r.audited(audits); len(got) != 1 || got[0] != "lease_torndown" {
		t.Errorf("audited %v", got)
	}
	r.pass(11 * time.Second)
	r.must(AdvanceLeases{Leases: []api.LeaseID{"l2"}})
	r.wantState("l2", api.LeaseForcedTeardown, ReasonRevoked) // its cell never came to it
}
