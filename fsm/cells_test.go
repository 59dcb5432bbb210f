package fsm

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func TestRegisterCell(t *testing.T) {
	r := newRig(t).cluster()
	if res := r.must(register("aws", "aws-1", "agent-1")); res.CellEpoch != 1 || res.Changed {
		t.Errorf("the same agent again: %+v", res)
	}
	renewed := register("aws", "aws-1", "agent-1")
	renewed.Identity.Serial = "02"
	if res := r.must(renewed); res.CellEpoch != 1 || !res.Changed {
		t.Errorf("the same agent with a renewed certificate: %+v", res)
	}
	if cell, _ := r.m.View().Cell("aws-1"); !cell.Reported || r.m.View().CellState(cell) != api.CellReady {
		t.Errorf("a renewed certificate made the cell %s", r.m.View().CellState(cell))
	}
	if res := r.must(register("aws", "aws-1", "agent-2")); res.CellEpoch != 2 {
		t.Errorf("another agent: %+v", res)
	}
	cell, _ := r.m.View().Cell("aws-1")
	if cell.Reported || r.m.View().CellState(cell) != api.CellWarming || cell.Capacity != capacity {
		t.Errorf("a new agent is %s, reported %v", r.m.View().CellState(cell), cell.Reported)
	}
	r.refused(api.NotFound, register("mars", "mars-1", "a"))
	r.refused(api.IdentityMismatch, register("gcp", "aws-1", "a"))
	r.refused(api.InvalidArgument, register("aws", "", "a"))
	r.refused(api.InvalidArgument, register("aws", "aws-1", ""))
	long := register("aws", "aws-1", "a")
	long.DataURL = strings.Repeat("u", maxURL+1)
	r.refused(api.TooLarge, long)
	r.must(RevokeCell{Provider: "aws", Cell: "aws-1", Now: true})
	r.refused(api.IdentityRevoked, register("aws", "aws-1", "agent-3"))
}

func TestChangeHealth(t *testing.T) {
	r := newRig(t).cluster()
	audits := len(r.audit)
	sick := &api.Condition{Code: "heartbeat_overdue", Message: "last heartbeat 47s ago, limit 15s", Since: time.UnixMilli(startWall).UTC()}
	for name, h := range map[string]HealthChange{
		"another epoch": {Cell: "aws-1", Epoch: 7, Healthy: sick}, "unknown cell": {Cell: "aws-9", Epoch: 1, Healthy: sick},
		"no change": {Cell: "aws-1", Epoch: 1, Healthy: yes},
	} {
		if res := r.must(ChangeHealth{Changes: []HealthChange{h}}); res.Changed {
			t.Errorf("%s changed the state", name)
		}
	}
	r.must(ChangeHealth{Changes: []HealthChange{{Cell: "aws-1", Epoch: 1, Healthy: sick}}})
	cell, _ := r.m.View().Cell("aws-1")
	shown := r.m.View().Show(cell)
	if shown.Ready || shown.State != api.CellUnhealthy || len(shown.Reasons) != 1 {
		t.Fatalf("shown %+v", shown)
	}
	if got := shown.Reasons[0]; got.Requirement != api.ReqHealthyCell || got.Code != sick.Code || got.Message != sick.Message || !got.Since.Equal(sick.Since) || got.Hint == "" {
		t.Errorf("reason %+v", got)
	}
	r.must(ChangeHealth{Changes: []HealthChange{{Cell: "aws-1", Epoch: 1, Healthy: yes}}})
	if got := r.audited(audits); !slices.Equal(got, []string{"cell_unready", "cell_ready"}) {
		t.Errorf("audited %v", got)
	}
	r.refused(api.TooLarge, ChangeHealth{Changes: make([]HealthChange, MaxChanges+1)})
	r.refused(api.TooLarge, ChangeHealth{Changes: []HealthChange{{Cell: "aws-1", Epoch: 1, Healthy: &api.Condition{Message: strings.Repeat("x", maxMessage+1)}}}})
}

// Of the 64 combinations only all-true admits, and every requirement that is not met has a
// reason with a code, words, a time and a hint.
func TestReadinessCombinations(t *testing.T) {
	for mask := range 64 {
		v := newView()
		on := func(bit int) bool { return mask&(1<<bit) != 0 }
		v.providers.Set(1, "aws", api.Provider{ID: "aws", Enabled: on(0), Since: time.Unix(1, 0)})
		c := api.CellRecord{
			Provider: "aws", Mode: api.ModeAccepting, Reported: on(4), CreatedAt: time.Unix(1, 0),
			IdentityBound: api.Condition{Met: on(2)}, Healthy: api.Condition{Met: on(3)}, Outbound: api.Condition{Met: on(5)},
		}
		if on(1) {
			c.ID = "aws-1"
		}
		ready, reasons := v.Readiness(c)
		if ready.Ready() != (mask == 63) {
			t.Errorf("%06b: ready %v", mask, ready.Ready())
		}
		if unmet := ready.Unmet(); len(unmet) != len(reasons) {
			t.Errorf("%06b: %d unmet, %d reasons", mask, len(unmet), len(reasons))
		}
		for _, r := range reasons {
			if r.Code == "" || r.Message == "" || r.Since.IsZero() || r.Hint == "" {
				t.Errorf("%06b: a reason without words: %+v", mask, r)
			}
		}
	}
}

func TestCellState(t *testing.T) {
	met, sick, warm := api.Condition{Met: true}, api.Condition{Code: "stuck"}, api.Condition{Code: CodeWarmingUp}
	full := api.CellRecord{ID: "c", Provider: "aws", Mode: api.ModeAccepting, Reported: true, IdentityBound: met, Healthy: met, Outbound: met}
	for want, change := range map[api.CellState]func(*api.CellRecord){
		api.CellReady:       func(*api.CellRecord) {},
		api.CellRevoked:     func(c *api.CellRecord) { c.Revoked, c.Revoking, c.Mode = true, true, api.ModeDraining },
		api.CellDraining:    func(c *api.CellRecord) { c.Revoking = true },
		api.CellDrained:     func(c *api.CellRecord) { c.Mode = api.ModeDrained },
		api.CellMaintenance: func(c *api.CellRecord) { c.Mode, c.Healthy = api.ModeMaintenance, sick },
		api.CellWarming:     func(c *api.CellRecord) { c.Healthy = warm },
		api.CellUnhealthy:   func(c *api.CellRecord) { c.Healthy = sick },
		api.CellRegistered:  func(c *api.CellRecord) { c.Reported = false },
	} {
		v := newView()
		v.providers.Set(1, "aws", api.Provider{ID: "aws", Enabled: true})
		c := full
		change(&c)
		if got := v.CellState(c); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestRevokeCell(t *testing.T) {
	r := newRig(t).cluster()
	r.refused(api.NotFound, RevokeCell{Provider: "gcp", Cell: "aws-1"})
	r.refused(api.NotFound, BarCell{Provider: "aws", Cell: "aws-9"})
	r.refused(api.Conflict, BarCell{Provider: "aws", Cell: "aws-1"})
	r.must(grant(cpu("l1", 1)))
	r.bound("l1")
	r.must(RevokeCell{Actor: "operator/root", Provider: "aws", Cell: "aws-1", GraceMs: 10_000})
	r.wantState("l1", api.LeaseRevokeWarning, ReasonCellRevoked)
	r.refused(api.Conflict, grant(cpu("l2", 1)))
	r.refused(api.Conflict, BarCell{Provider: "aws", Cell: "aws-1"})
	if res := r.must(RevokeCell{Provider: "aws", Cell: "aws-1", GraceMs: 20_000}); res.Changed {
		t.Error("a second revocation lengthened the grace")
	}
	r.pass(10 * time.Second)
	r.due()
	r.wantState("l1", api.LeaseForcedTeardown, ReasonCellRevoked)
	r.must(register("aws", "aws-1", "agent-2")) // it may still restart, to say what became of its leases
	r.ended(api.LeaseTornDown, "", "l1")
	r.must(BarCell{Provider: "aws", Cell: "aws-1"})
	cell, _ := r.m.View().Cell("aws-1")
	shown := r.m.View().Show(cell)
	if shown.State != api.CellRevoked || shown.Readiness.HealthyCell || shown.Readiness.IdentityBound {
		t.Errorf("shown %+v", shown)
	}
	r.refused(api.IdentityRevoked, ReportCell{Cell: "aws-1", Epoch: 2})
	for _, c := range []Command{RevokeCell{Provider: "aws", Cell: "aws-1"}, BarCell{Provider: "aws", Cell: "aws-1"}, ChangeHealth{Changes: []HealthChange{{Cell: "aws-1", Epoch: 2, Healthy: yes}}}} {
		if res := r.must(c); res.Changed {
			t.Errorf("%T changed a revoked cell", c)
		}
	}
}

// A compromised cell is barred first; its leases end when it must have stopped by itself.
func TestRevokeCellNow(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grantRun("r1", 2))
	r.bound("r1-cpu", "r1-mem")
	r.must(RevokeCell{Provider: "aws", Cell: "aws-1", GraceMs: 60_000, Now: true})
	r.wantState("r1-cpu", api.LeaseForcedTeardown, ReasonCellRevoked)
	r.refused(api.IdentityRevoked, ReportCell{Cell: "aws-1", Epoch: 1})
	r.pass(time.Minute + api.HoldDown(time.Minute))
	r.due()
	r.wantState("r1-cpu", api.LeaseFailedClosed, ReasonCellRevoked)
	r.wantRun(api.RunRevoked, true)
}

// TestOvercommit: what a cell offers beyond its hardware is recorded, of level 2, and only kinds are.
func TestOvercommit(t *testing.T) {
	r := newRig(t).cluster()
	report := func(kinds ...api.LeaseKind) ReportCell {
		return ReportCell{Cell: "aws-1", Epoch: 1, Inventory: &api.InventoryReport{Inventory: api.Inventory{Overcommit: kinds}}}
	}
	if LevelOf(report()) != 1 || LevelOf(report(api.KindGPU)) != LevelOvercommit {
		t.Errorf("levels %d and %d", LevelOf(report()), LevelOf(report(api.KindGPU)))
	}
	r.must(RaiseLevel{Level: LevelOvercommit})
	r.refused(api.InvalidArgument, report("beer"))
	r.refused(api.InvalidArgument, report(api.KindCPU, api.KindCPU))
	r.must(report(api.KindCPU, api.KindGPU))
	c, _ := r.m.View().Cell("aws-1")
	if got := c.Inventory.Overcommit; !slices.Equal(got, []api.LeaseKind{api.KindCPU, api.KindGPU}) {
		t.Errorf("recorded is %v", got)
	}
}

func TestReportCell(t *testing.T) {
	r := newRig(t).cluster()
	r.refused(api.NotFound, ReportCell{Cell: "aws-9", Epoch: 1})
	r.refused(api.StaleEpoch, ReportCell{Cell: "aws-1", Epoch: 2})
	r.refused(api.TooLarge, ReportCell{Cell: "aws-1", Epoch: 1, Ended: make([]api.EndedReport, api.MaxReportItems+1)})
	r.refused(api.InvalidArgument, ReportCell{Cell: "aws-1", Epoch: 1, Inventory: &api.InventoryReport{Capacity: api.Resources{CPU: -1}}})
	r.refused(api.TooLarge, ReportCell{Cell: "aws-1", Epoch: 1, Inventory: &api.InventoryReport{Inventory: api.Inventory{GPUs: make([]api.GPU, maxGPUs+1)}}})
	r.must(grant(cpu("l1", 1)))
	r.ready("aws", "aws-2")
	l := r.lease("l1")
	elsewhere := ReportCell{Cell: "aws-2", Epoch: 1, Ended: []api.EndedReport{{LeaseID: "l1", Epoch: l.Epoch, State: api.LeaseTornDown}}}
	if res := r.must(elsewhere); res.Changed || len(res.Refused) != 1 || res.Refused[0].Kind != api.NotFound {
		t.Errorf("a cell ended another's lease: %+v", res)
	}
	rep := ReportCell{
		Cell: "aws-1", Epoch: 1,
		Bound: []api.BoundReport{
			{LeaseID: "l9", Epoch: 1, Generation: 1},
			{LeaseID: "l1", Epoch: 99, Generation: 1},
			{LeaseID: "l1", Epoch: l.Epoch, Generation: 2},
			{LeaseID: "l1", Epoch: l.Epoch, Generation: 1, Coordinate: "https://c"},
		},
		Ended: []api.EndedReport{{LeaseID: "l1", Epoch: l.Epoch, State: api.LeaseExpired}, {LeaseID: "l1", Epoch: 99, State: api.LeaseTornDown}},
	}
	res := r.must(rep)
	var kinds []api.Kind
	for _, refused := range res.Refused {
		kinds = append(kinds, refused.Kind)
	}
	if want := []api.Kind{api.NotFound, api.StaleEpoch, api.StaleGeneration, api.InvalidArgument, api.StaleEpoch}; !slices.Equal(kinds, want) {
		t.Errorf("refused %v, want %v", kinds, want)
	}
	if l := r.lease("l1"); l.BoundGeneration != 1 || l.Coordinate != "https://c" || l.BoundAt.IsZero() {
		t.Errorf("lease %+v", l)
	}
	if res := r.must(ReportCell{Cell: "aws-1", Epoch: 1, Bound: rep.Bound[3:]}); res.Changed || len(res.Refused) > 0 {
		t.Errorf("the same binding again: %+v", res)
	}
	audits := len(r.audit)
	r.ended(api.LeaseTornDown, ReasonExpired, "l1")
	if got := r.audited(audits); !slices.Equal(got, []string{"lease_expired", "lease_torndown"}) {
		t.Errorf("audited %v", got)
	}
	if res := r.must(ReportCell{Cell: "aws-1", Epoch: 1, Bound: rep.Bound[3:]}); len(res.Refused) != 1 || res.Refused[0].Kind != api.LeaseExpiredKind {
		t.Errorf("bound after its end: %+v", res)
	}
}

// No secret enters the log by this door, and nothing of a report with one is taken.
func TestTokenIsRefused(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grant(cpu("l1", 1)))
	const canary = "v4.public.canary"
	p := r.refusal(api.InvalidArgument, ReportCell{Cell: "aws-1", Epoch: 1, Bound: []api.BoundReport{
		{LeaseID: "l1", Epoch: r.lease("l1").Epoch, Generation: 1}, {LeaseID: "l1", Token: canary},
	}})
	if strings.Contains(p.Error(), canary) || r.lease("l1").BoundGeneration != 0 {
		t.Errorf("refusal %v, lease %+v", p, r.lease("l1"))
	}
	var snap strings.Builder
	if err := r.m.View().WriteSnapshot(&snap); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(snap.String(), canary) {
		t.Error("the token is in the snapshot")
	}
}

// An inventory that shrinks under leases takes nothing away, and no new lease gets any of it.
func TestInventoryShrinks(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grant(cpu("l1", 3000), mem("l2", 1<<30)))
	r.must(ReportCell{Cell: "aws-1", Epoch: 1, Inventory: &api.InventoryReport{Capacity: api.Resources{CPU: 2000, Mem: 8 << 30}}})
	cell, _ := r.m.View().Cell("aws-1")
	if cell.Held != (api.Resources{CPU: 3000}) || r.m.View().Free(&cell).CPU != 0 {
		t.Errorf("held %+v, free %+v", cell.Held, r.m.View().Free(&cell))
	}
	r.refused(api.Conflict, grant(cpu("l3", 1)))
	r.must(grant(mem("l3", 1)))
	r.must(FreeLease{Lease: "l1"})
	r.ended(api.LeaseTornDown, "", "l1")
	if cell, _ := r.m.View().Cell("aws-1"); !cell.Held.IsZero() {
		t.Errorf("held %+v", cell.Held)
	}
	r.must(grant(cpu("l4", 2000)))
}
