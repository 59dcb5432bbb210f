package fsm

import (
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

func (r *rig) suite(failed ...string) RecordConformance {
	return RecordConformance{
		Actor: "operator/root", Provider: "aws", Cell: "aws-1", CellEpoch: r.cell("aws-1").Epoch, Passed: len(failed) == 0,
		Kinds: api.LeaseKinds(), Checks: 40, Failed: failed, TookMs: 3000,
	}
}

func mark(cell api.CellID, on bool) MarkCell {
	return MarkCell{Actor: "operator/root", Provider: "aws", Cell: cell, Production: on}
}

// A production cell takes no lease but the suite's own until it has passed, for the version of its
// agent and the kinds that it offers.
func TestProductionNeedsConformance(t *testing.T) {
	r := newRig(t).cluster()
	r.refused(api.Conflict, mark("aws-1", true)) // below its level
	r.refused(api.Conflict, r.suite())
	r.must(RaiseLevel{Level: 2})
	r.must(CreateTenant{Tenant: api.ConformanceTenant, Quota: api.NoQuota()})
	takes := func(id api.LeaseID, want bool) {
		t.Helper()
		if res := r.do(grant(cpu(id, 100)))[0]; (res.Problem == nil) != want {
			t.Errorf("a lease of it: %v, want that it takes one to be %t", res.Problem, want)
		}
	}
	takes("l0", true)
	r.must(mark("aws-1", true))
	takes("l1", false)
	own := grant(cpu("s1", 100))
	own.Tenant = api.ConformanceTenant
	r.must(own)
	why := r.suite("mem/revoked")
	why.Reason = "after the repair"
	r.must(why)
	if last := r.audit[len(r.audit)-1]; !strings.Contains(string(last.Data), `"reason":"after the repair"`) {
		t.Errorf("the audit chain says %s", last.Data)
	}
	takes("l1", false)
	if c := r.m.View().Show(r.cell("aws-1")); c.Conformance != api.ConformanceFailed || c.Suite == nil || !c.Production || !c.Ready {
		t.Errorf("it is shown as %+v", c)
	}
	r.must(r.suite())
	takes("l1", true)

	some := r.suite()
	some.Kinds = []api.LeaseKind{api.KindMem}
	r.must(some)
	takes("l2", false) // it offers what was not looked at
	r.must(r.suite())
	takes("l2", true)

	c := r.cell("aws-1")
	again := register("aws", "aws-1", c.Agent)
	again.BrokerKey, again.Version = c.BrokerKey, "the next one"
	r.must(again)
	if got := r.m.View().Show(r.cell("aws-1")).Conformance; got != api.ConformanceNone {
		t.Errorf("with another agent it is %q", got)
	}
	takes("l3", false)
	r.must(mark("aws-1", false))
	takes("l3", true)
	r.must(mark("", true)) // the provider, and so the cell
	takes("l4", false)
	r.must(r.suite())
	takes("l4", true)
}

// What is no result, or another agent's, is not recorded; a mark that is there changes nothing.
func TestConformanceRefuses(t *testing.T) {
	r := newRig(t).cluster()
	r.must(RaiseLevel{Level: 2})
	bad := func(kind api.Kind, change func(*RecordConformance)) {
		t.Helper()
		c := r.suite()
		change(&c)
		r.refused(kind, c)
	}
	bad(api.Conflict, func(c *RecordConformance) { c.CellEpoch++ })
	bad(api.NotFound, func(c *RecordConformance) { c.Cell = "none" })
	bad(api.NotFound, func(c *RecordConformance) { c.Provider = "gcp" })
	bad(api.InvalidArgument, func(c *RecordConformance) { c.Reason = "\x00" })
	bad(api.InvalidArgument, func(c *RecordConformance) { c.Passed = false })
	bad(api.InvalidArgument, func(c *RecordConformance) { c.Failed = []string{"mem/revoked"} })
	bad(api.InvalidArgument, func(c *RecordConformance) { c.Passed, c.Failed = false, make([]string, MaxFailedChecks+1) })
	bad(api.InvalidArgument, func(c *RecordConformance) { c.Kinds = []api.LeaseKind{"time"} })
	bad(api.TooLarge, func(c *RecordConformance) { c.Passed, c.Failed = false, []string{string(make([]byte, 100))} })
	r.refused(api.NotFound, mark("none", true))
	none := mark("", true)
	none.Provider = "none"
	r.refused(api.NotFound, none)
	for _, cell := range []api.CellID{"aws-1", ""} {
		r.must(mark(cell, true))
		before := len(r.audit)
		if res := r.must(mark(cell, true)); res.Changed || len(r.audit) != before {
			t.Errorf("marking %q again changed something", cell)
		}
	}
	r.must(RevokeCell{Provider: "aws", Cell: "aws-1", GraceMs: 0, Now: true})
	r.refused(api.Conflict, r.suite())
}
