package fsm

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

// What went through a run's network is in its record, and only a cluster whose members all know it hears of it.
func TestNetUsage(t *testing.T) {
	r := newRig(t).cluster()
	r.must(RaiseLevel{Level: 2})
	r.must(grantRun("r1", 0))
	used := &api.NetUsage{BytesOut: 1, BytesIn: 2, Flows: 3, Denied: 4}
	rep := api.RunReport{RunID: "r1", Attempt: 1, State: api.RunSucceeded, Net: &api.NetUsage{Denied: -1}}
	if res := r.runReport(rep); len(res.Refused) != 1 || res.Refused[0].Kind != api.InvalidArgument {
		t.Errorf("less than nothing is answered %+v", res.Refused)
	}
	rep.Net = used
	c := ReportCell{Cell: "aws-1", Epoch: r.cellEpoch("aws-1"), Runs: []api.RunReport{rep}}
	if LevelOf(c) != LevelNetUsage {
		t.Error("the report needs no level")
	}
	if c.Runs = []api.RunReport{{RunID: "r1"}}; LevelOf(c) != 1 {
		t.Error("a report without it needs a level")
	}
	r.runReport(rep)
	if got := r.run1().Net; cmp.Diff(got, used) != "" {
		t.Errorf("the record has %+v", got)
	}
}
