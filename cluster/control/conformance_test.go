package control

import (
	"net/http"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// conform runs a suite to its first answer.
func (r *rig) conform(p api.ProviderID, c api.CellID) error {
	for _, err := range r.c.ConformCell(r.operator(), p, c, api.WriteOptions{DryRun: true}) {
		return err
	}
	return nil
}

// TestConformanceRefuses: a suite is only run where it can tell something of the cell.
func TestConformanceRefuses(t *testing.T) {
	r := newRig(t)
	epoch := r.cell("c1")
	r.wantKind("below its level", r.conform("aws", "c1"), api.Conflict)
	r.must(fsm.RaiseLevel{Level: 2})
	r.must(fsm.ReportCell{Cell: "c1", Epoch: epoch, Inventory: &api.InventoryReport{Capacity: api.Resources{CPU: 4000, Mem: 8 << 30}}})
	r.wantKind("ready", r.conform("aws", "c1"), "")
	r.wantKind("unknown", r.conform("aws", "c9"), api.NotFound)
	r.wantKind("unknown provider", r.conform("nope", "c1"), api.NotFound)
	r.wantKind("another provider's", r.conform("gcp", "c1"), api.NotFound)
	r.set(func() { r.follows = true })
	r.wantKind("a follower", r.conform("aws", "c1"), api.NoLeader)
	r.set(func() { r.follows = false })

	release, err := r.c.suites.begin("c1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.c.suites.begin("c1")
	r.wantKind("one runs already", err, api.Conflict)
	release()
	for i := range maxSuites {
		if _, err := r.c.suites.begin(api.CellID(rune('a' + i))); err != nil {
			t.Fatal(err)
		}
	}
	_, err = r.c.suites.begin("c1")
	r.wantKind("too many", err, api.Overloaded)

	r.must(fsm.GrantLeases{
		Actor: "tenant/acme", Tenant: "acme", Provider: "aws", Cell: "c1", CellEpoch: epoch, Priority: api.PriorityStandard, TTLMs: 60_000,
		Items: []fsm.GrantItem{{ID: "l1", Kind: api.KindCPU, Amount: 4000}},
	})
	r.wantKind("full", r.conform("aws", "c1"), api.Overloaded)
	mode := fsm.SetCellMode{Actor: "operator/root", Provider: "aws", Cell: "c1", Mode: api.ModeDraining}
	r.must(mode)
	r.wantKind("draining", r.conform("aws", "c1"), api.Conflict)
	mode.Mode = api.ModeReturning
	r.must(mode)
	r.wantKind("returning", r.conform("aws", "c1"), api.Conflict)
	r.must(fsm.SetCellMode{Actor: "scheduler", Provider: "aws", Cell: "c1", Mode: api.ModeAccepting})
	r.must(fsm.ChangeHealth{Changes: []fsm.HealthChange{{Cell: "c1", Epoch: epoch, Healthy: &api.Condition{Code: "heartbeat_overdue"}}}})
	r.wantKind("not ready", r.conform("aws", "c1"), api.NoEligibleProviderCells)
	r.must(fsm.RevokeCell{Provider: "aws", Cell: "c1", Now: true})
	r.wantKind("revoked", r.conform("aws", "c1"), api.Conflict)
}

// TestMarks: providers and cells are marked, and shown so; what is marked and has no result is proved by itself.
func TestMarks(t *testing.T) {
	r := newRig(t)
	r.cell("c1")
	r.must(fsm.RaiseLevel{Level: 2})
	ctx := r.operator()
	if a, err := r.c.MarkCell(ctx, "c1", api.MarkRequest{Production: true}, api.WriteOptions{DryRun: true}); err != nil || a.Cell.Production || len(r.c.unproven()) != 0 {
		t.Errorf("dry run: %+v, %v", a, err)
	}
	a, err := r.c.MarkCell(ctx, "c1", api.MarkRequest{Production: true}, api.WriteOptions{})
	if err != nil || !a.Cell.Production || a.Cell.Conformance != api.ConformanceNone || !a.Cell.Ready || len(r.c.unproven()) != 1 {
		t.Errorf("marked: %+v, %v", a, err)
	}
	if a, err = r.c.MarkCell(ctx, "c1", api.MarkRequest{}, api.WriteOptions{}); err != nil || a.Cell.Production {
		t.Errorf("not marked any more: %+v, %v", a, err)
	}
	_, err = r.c.MarkCell(ctx, "c9", api.MarkRequest{}, api.WriteOptions{})
	r.wantKind("unknown cell", err, api.NotFound)
	_, err = r.c.MarkProvider(ctx, "nope", api.MarkRequest{}, api.WriteOptions{})
	r.wantKind("unknown provider", err, api.NotFound)
	p, err := r.c.MarkProvider(ctx, "aws", api.MarkRequest{Production: true}, api.WriteOptions{})
	if err != nil || !p.Production || !p.Cells[0].Production || len(r.c.unproven()) != 1 {
		t.Errorf("marked provider: %+v, %v", p, err)
	}
	rec, _ := r.m.View().Cell("c1")
	report := &api.ConformanceReport{Kinds: api.LeaseKinds(), Checks: 9, Failed: []api.ConformanceCheck{{Kind: api.KindMem, Name: "revoked"}}}
	if err := r.c.recordSuite(ctx, rec, "after the repair", report); err != nil || report.Index == 0 || len(r.c.unproven()) != 0 {
		t.Errorf("a suite that failed is not repeated by itself: %v", err)
	}
	e, err := fsm.DecodeEntry(r.entries[len(r.entries)-1])
	if cmd, ok := e.Commands[0].(*fsm.RecordConformance); err != nil || !ok || cmd.Reason != "after the repair" {
		t.Errorf("submitted %+v, %v", e.Commands, err)
	}
	if rec, _ = r.m.View().Cell("c1"); rec.Suite.Failed[0] != "mem/revoked" || rec.Suite.Actor != "operator/root" {
		t.Errorf("recorded: %+v", rec.Suite)
	}
}

// TestSuiteTenantIsReserved: nobody passes a production cell's door in the suite's name.
func TestSuiteTenantIsReserved(t *testing.T) {
	r := newRig(t)
	r.cell("c1")
	r.must(fsm.CreateTenant{Tenant: api.ConformanceTenant, Quota: api.NoQuota()})
	q := cpu(100)
	q.Tenant = api.ConformanceTenant
	for name, ctx := range map[string]api.Caller{
		"operator": {Role: api.RoleOperator, Name: "root"}, "its certificate": suiteCaller(),
	} {
		_, err := r.c.RequestLeases(api.WithCaller(t.Context(), ctx), q, api.WriteOptions{})
		r.wantKind(name, err, api.Forbidden)
		batch, err := r.c.RequestBatch(api.WithCaller(t.Context(), ctx), api.BatchRequest{Requests: []api.BatchItem{{LeaseRequest: q}}}, api.WriteOptions{})
		if err == nil {
			err = batch.Answers[0].Problem
		}
		r.wantKind(name+", in a batch", err, api.Forbidden)
		_, err = r.c.StartRun(api.WithCaller(t.Context(), ctx), api.RunRequest{
			Provider: "aws", Tenant: api.ConformanceTenant, Module: api.Digest("sha256:" + strings.Repeat("0", 64)), Resources: api.Resources{CPU: 100, Mem: 1 << 20}, TTLMs: 1000,
		}, api.WriteOptions{})
		r.wantKind(name+", a run", err, api.Forbidden)
	}
}

// TestSuiteStaysAtItsCell: a cell does not send the leader to other addresses.
func TestSuiteStaysAtItsCell(t *testing.T) {
	r := newRig(t)
	r.material()
	r.cell("c1")
	rec, _ := r.m.View().Cell("c1")
	h, err := r.c.suiteClient(rec)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	h.Transport = answers(func(q *http.Request) *http.Response {
		asked++
		return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {"http://169.254.169.254/secret"}}, Body: http.NoBody, Request: q}
	})
	resp, err := h.Get("https://10.0.0.1:7500/v1/leases/x")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if asked != 1 || resp.StatusCode != http.StatusFound {
		t.Errorf("%d requests, %s", asked, resp.Status)
	}
}

// answers is a transport that goes nowhere.
type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(q *http.Request) (*http.Response, error) { return a(q), nil }
