package placement

import (
	"testing"

	"github.com/grafos/grafos/api"
)

// A cell that has yet to prove itself is vetoed although it has room, and the refusal says what to run; one
// beside it that has is chosen.
func TestUnproven(t *testing.T) {
	cell := func(id api.CellID, unproven bool) Cell {
		return Cell{
			ID: id, Unproven: unproven, HasStamp: true, Capacity: api.Resources{CPU: 1000}, Free: api.Resources{CPU: 1000},
			Readiness: api.Readiness{CodeEnabled: true, DurableRecord: true, IdentityBound: true, HealthyCell: true, InventoryReported: true, OutboundRegistered: true},
		}
	}
	v := View{Provider: api.Provider{ID: "aws", Enabled: true}, Known: true, Cells: []Cell{cell("c1", true)}}
	r := Request{Provider: "aws", Tenant: "acme", Resources: api.Resources{CPU: 10}, Priority: api.PriorityStandard, Leases: 1, Quota: api.NoQuota()}
	plan := Choose(v, r)
	if e := plan.Refusal; e == nil || e.Kind != api.PlacementFailed || e.Hint != "let a production cell prove itself: grafos conformance run aws c1" ||
		len(e.Candidates) != 1 || len(e.Candidates[0].Vetoes) != 1 || e.Candidates[0].Vetoes[0].Code != NotConformant {
		t.Errorf("refused with %+v", e)
	}
	if _, ok := Pick(&v, r); ok {
		t.Error("it was picked")
	}
	v.Cells[0].Failed = true
	if e := Choose(v, r).Refusal; e.Hint != "see what the cell fails at, mend it and let it prove itself: grafos conformance run aws c1" {
		t.Errorf("where the one cell failed: %q", e.Hint)
	}
	v.Cells = append(v.Cells, cell("c2", true))
	if e := Choose(v, r).Refusal; e.Hint != "let a production cell prove itself: grafos conformance run aws c2" {
		t.Errorf("where another one was not tested: %q", e.Hint)
	}
	v.Cells = v.Cells[:1]
	v.Cells = append(v.Cells, cell("c2", false))
	if id, ok := Pick(&v, r); !ok || id != "c2" {
		t.Errorf("picked %q", id)
	}
	v.Cells = v.Cells[:1]
	r.Resources.CPU = 2000
	if e := Choose(v, r).Refusal; e.Kind != api.NoEligibleProviderCells || e.Reason != api.ReasonInsufficient {
		t.Errorf("what could never fit is refused with %+v", e)
	}
}
