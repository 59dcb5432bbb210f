package fsm

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// runReport reports on r1's first attempt on aws-1.
func (r *rig) runReport(rep api.RunReport, ended ...api.LeaseID) Result {
	r.t.Helper()
	c := ReportCell{Cell: "aws-1", Epoch: r.cellEpoch("aws-1"), Runs: []api.RunReport{rep}}
	for _, id := range ended {
		c.Ended = append(c.Ended, api.EndedReport{LeaseID: id, Epoch: r.lease(id).Epoch, State: api.LeaseTornDown, Reason: ReasonReleased})
	}
	return r.must(c)
}

// TestCPUTime: what a run used is part of its result, of level 2.
func TestCPUTime(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grantRun("r1", 0))
	r.bound("r1-cpu", "r1-mem")
	done := api.RunReport{RunID: "r1", Attempt: 1, State: api.RunSucceeded, CPUMs: 11}
	if got := LevelOf(ReportCell{Runs: []api.RunReport{{}, done}}); got != LevelCPUTime {
		t.Errorf("its level is %d", got)
	}
	r.must(RaiseLevel{Level: LevelCPUTime})
	below := done
	below.CPUMs = -1
	if res := r.runReport(below); len(res.Refused) != 1 || res.Refused[0].Kind != api.InvalidArgument {
		t.Errorf("less than nothing: %+v", res)
	}
	r.runReport(done, "r1-cpu", "r1-mem")
	if run := r.run1(); run.CPUMs != 11 {
		t.Errorf("the run used %d ms", run.CPUMs)
	}
}

// The result and the ends that follow it may be in one report: the result comes first.
func TestRunLife(t *testing.T) {
	r := newRig(t).cluster()
	audits := len(r.audit)
	r.must(grantRun("r1", 0))
	r.bound("r1-cpu", "r1-mem")
	r.runReport(api.RunReport{RunID: "r1", Attempt: 1, State: api.RunRunning})
	r.wantRun(api.RunRunning, false)
	done := api.RunReport{
		RunID: "r1", Attempt: 1, State: api.RunSucceeded, FuelUsed: 7, DurationMs: 9,
		Artifacts: []api.Artifact{{Name: api.ArtifactResponse, Digest: module, Size: 3}},
	}
	r.runReport(done, "r1-cpu", "r1-mem")
	r.wantRun(api.RunSucceeded, true)
	r.wantState("r1-cpu", api.LeaseTornDown, ReasonReleased)
	run := r.run1()
	if run.FuelUsed != 7 || run.DurationMs != 9 || len(run.Artifacts) != 1 || run.StartedAt.IsZero() || run.FinishedAt.IsZero() {
		t.Errorf("run %+v", run)
	}
	want := []string{
		"lease_granted", "lease_granted", "run_placed", "run_finished", "lease_released", "lease_released",
		"lease_torndown", "lease_torndown", "run_finalised",
	}
	if got := r.audited(audits); !slices.Equal(got, want) {
		t.Errorf("audited %v", got)
	}
	// L8: a result never changes; the same again is confirmed, another is refused.
	if res := r.runReport(done); res.Changed || len(res.Refused) != 0 {
		t.Errorf("the same result again: %+v", res)
	}
	done.State = api.RunFailed
	if res := r.runReport(done); res.Changed || len(res.Refused) != 1 || res.Refused[0].Kind != api.Conflict {
		t.Errorf("another result: %+v", res)
	}
	if !r.m.View().Referenced(module) {
		t.Error("the run's module is not referenced")
	}
	r.pass(2*time.Hour + time.Second)
	if c := r.m.View().Counts(); c.Runs != 0 || c.Leases != 0 || r.m.View().Referenced(module) {
		t.Errorf("kept %+v", c)
	}
}

// A run without a result gets the one that its leases tell.
func TestRunVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		retries int
		do      func(*rig)
		want    api.RunState
		kind    api.Kind
	}{
		"expired on the cell": {0, func(r *rig) { r.ended(api.LeaseTornDown, ReasonExpired, "r1-cpu", "r1-mem") }, api.RunExpired, api.DeadlineExceeded},
		"expired here, then the cell says so": {3, func(r *rig) {
			r.bound("r1-cpu", "r1-mem")
			r.pass(time.Minute)
			r.due()
			r.ended(api.LeaseTornDown, ReasonExpired, "r1-cpu", "r1-mem")
		}, api.RunExpired, api.DeadlineExceeded},
		"cell silent for good": {0, func(r *rig) {
			r.bound("r1-cpu", "r1-mem")
			r.pass(time.Minute)
			r.due()
			r.pass(time.Minute)
			r.due()
		}, api.RunLost, api.WorkerLost},
		"cell silent for good, may be retried": {3, func(r *rig) {
			r.bound("r1-cpu", "r1-mem")
			r.pass(time.Minute)
			r.due()
			r.wantRun(api.RunPlaced, false) // not before the cell must have stopped
			r.pass(time.Minute)
			r.due()
		}, api.RunAdmitted, ""},
		"revoked": {3, func(r *rig) {
			r.must(RevokeLease{Lease: "r1-cpu"})
			r.ended(api.LeaseTornDown, ReasonRevoked, "r1-cpu", "r1-mem")
		}, api.RunRevoked, api.LeaseRevoked},
		"cell revoked": {3, func(r *rig) {
			r.must(RevokeCell{Provider: "aws", Cell: "aws-1"})
			r.ended(api.LeaseTornDown, ReasonRevoked, "r1-cpu", "r1-mem")
		}, api.RunRevoked, api.LeaseRevoked},
		"freed by its owner": {3, func(r *rig) {
			r.must(FreeLease{Lease: "r1-mem"})
			r.ended(api.LeaseTornDown, "", "r1-cpu", "r1-mem")
		}, api.RunRevoked, api.LeaseRevoked},
		"given up by the cell": {0, func(r *rig) { r.ended(api.LeaseTornDown, ReasonReleased, "r1-cpu", "r1-mem") }, api.RunLost, api.WorkerLost},
		"fenced":               {0, func(r *rig) { r.ended(api.LeaseFenced, "stuck", "r1-cpu", "r1-mem") }, api.RunLost, api.WorkerLost},
		"never bound": {0, func(r *rig) {
			r.pass(5 * time.Second)
			r.due()
			r.ended(api.LeaseTornDown, "", "r1-cpu", "r1-mem")
		}, api.RunLost, api.WorkerLost},
		"never bound, may be retried": {1, func(r *rig) {
			r.pass(5 * time.Second)
			r.due()
			r.ended(api.LeaseTornDown, "", "r1-cpu", "r1-mem")
		}, api.RunAdmitted, ""},
		"worker lost, may be retried": {1, func(r *rig) {
			r.runReport(api.RunReport{RunID: "r1", Attempt: 1, State: api.RunLost}, "r1-cpu", "r1-mem")
		}, api.RunAdmitted, ""},
		"cancelled while it waits": {1, func(r *rig) {
			r.runReport(api.RunReport{RunID: "r1", Attempt: 1, State: api.RunLost}, "r1-cpu", "r1-mem")
			r.must(EndRun{Run: "r1", State: api.RunRevoked, Reason: "cancelled"})
		}, api.RunRevoked, api.LeaseRevoked},
		"cancelled while it runs": {1, func(r *rig) {
			r.must(EndRun{Run: "r1", State: api.RunRevoked, Reason: "cancelled"})
			r.ended(api.LeaseTornDown, "", "r1-cpu", "r1-mem")
		}, api.RunRevoked, api.LeaseRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).cluster()
			r.must(grantRun("r1", c.retries))
			c.do(r)
			r.wantRun(c.want, c.want.Terminal())
			if run := r.run1(); run.Failure.Kind != c.kind || c.kind != "" && run.Failure.Message == "" {
				t.Errorf("failure %+v, want kind %q", run.Failure, c.kind)
			}
		})
	}
}

func TestRunReportRefusals(t *testing.T) {
	long := strings.Repeat("x", maxMessage+1)
	for name, c := range map[string]struct {
		kind api.Kind
		rep  api.RunReport
	}{
		"unknown run":       {api.NotFound, api.RunReport{RunID: "r9", Attempt: 1, State: api.RunSucceeded}},
		"another attempt":   {api.StaleEpoch, api.RunReport{RunID: "r1", Attempt: 2, State: api.RunSucceeded}},
		"placed":            {api.InvalidArgument, api.RunReport{RunID: "r1", Attempt: 1, State: api.RunPlaced}},
		"unknown state":     {api.InvalidArgument, api.RunReport{RunID: "r1", Attempt: 1, State: "done"}},
		"negative fuel":     {api.InvalidArgument, api.RunReport{RunID: "r1", Attempt: 1, State: api.RunSucceeded, FuelUsed: -1}},
		"many artifacts":    {api.TooLarge, api.RunReport{RunID: "r1", Attempt: 1, State: api.RunSucceeded, Artifacts: make([]api.Artifact, MaxArtifacts+1)}},
		"no artifact name":  {api.InvalidArgument, api.RunReport{RunID: "r1", Attempt: 1, State: api.RunSucceeded, Artifacts: []api.Artifact{{Digest: module}}}},
		"no digest":         {api.InvalidArgument, api.RunReport{RunID: "r1", Attempt: 1, State: api.RunSucceeded, Artifacts: []api.Artifact{{Name: "a"}}}},
		"long failure":      {api.TooLarge, api.RunReport{RunID: "r1", Attempt: 1, State: api.RunFailed, Failure: api.Failure{Message: long}}},
		"long failure kind": {api.TooLarge, api.RunReport{RunID: "r1", Attempt: 1, State: api.RunFailed, Failure: api.Failure{Kind: api.Kind(long)}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).cluster()
			r.must(grantRun("r1", 0))
			// What is refused harms nothing else of the report.
			res := r.must(ReportCell{Cell: "aws-1", Epoch: 1, Runs: []api.RunReport{c.rep, {RunID: "r1", Attempt: 1, State: api.RunRunning}}})
			if len(res.Refused) != 1 || res.Refused[0].Kind != c.kind || res.Refused[0].RunID != c.rep.RunID {
				t.Errorf("refused %+v, want %s", res.Refused, c.kind)
			}
			r.wantRun(api.RunRunning, false)
		})
	}
}

func TestEndRunRefusals(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grantRun("r1", 0))
	r.refused(api.NotFound, EndRun{Run: "r2", State: api.RunRevoked})
	r.refused(api.InvalidArgument, EndRun{Run: "r1", State: api.RunSucceeded})
	r.refused(api.InvalidArgument, EndRun{Run: "r1", State: "over"})
	r.refused(api.InvalidArgument, EndRun{State: api.RunRevoked})
	r.must(EndRun{Run: "r1", State: api.RunExpired})
	if res := r.must(EndRun{Run: "r1", State: api.RunRevoked}); res.Changed {
		t.Error("a result was changed")
	}
	r.wantRun(api.RunExpired, false)
}
