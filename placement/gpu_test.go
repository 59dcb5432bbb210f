package placement

import (
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestSharedGPUs: a cell none of whose gpus is free takes a share of one that has room, and is told
// why not where none has.
func TestSharedGPUs(t *testing.T) {
	cell := func(id api.CellID, uses api.GPUUses) Cell {
		used, _ := uses.Taken()
		ready := api.Readiness{CodeEnabled: true, DurableRecord: true, IdentityBound: true, HealthyCell: true, InventoryReported: true, OutboundRegistered: true}
		return Cell{ID: id, Readiness: ready, Mode: api.ModeAccepting, Capacity: api.Resources{GPU: 1}, Free: api.Resources{GPU: 1 - used}, GPUs: uses, HasStamp: true}
	}
	v := View{Provider: api.Provider{ID: "aws", Enabled: true}, Known: true, Cells: []Cell{
		cell("alone", api.GPUUses{{Class: api.GPUDeviceExclusive, Tenant: "x", Milli: 1000, Leases: 1}}),
		cell("shared", api.GPUUses{{Class: api.GPUShared, Milli: 700, Leases: 1}}),
		cell("session", api.GPUUses{{Class: api.GPUSessionExclusive, Tenant: "acme", Milli: 700, Leases: 1}}),
	}}
	for name, tt := range map[string]struct {
		class  api.GPUClass
		share  int64
		tenant api.TenantID
		n      int64
		want   api.CellID
		reason string
	}{
		"a share":           {api.GPUShared, 300, "acme", 1, "shared", ""},
		"too large a share": {api.GPUShared, 301, "acme", 1, "", api.ReasonFull},
		"the same tenant":   {api.GPUSessionExclusive, 300, "acme", 1, "session", ""},
		"another tenant":    {api.GPUSessionExclusive, 300, "beta", 1, "", api.ReasonFull},
		"a whole one":       {api.GPUDeviceExclusive, 0, "acme", 1, "", api.ReasonFull},
		"by number":         {"", 0, "acme", 1, "", api.ReasonFull},
		"two":               {api.GPUShared, 1, "acme", 2, "", api.ReasonInsufficient},
	} {
		r := Request{Provider: "aws", Tenant: tt.tenant, Resources: api.Resources{GPU: tt.n}, Leases: 1, GPUClass: tt.class, GPUShare: tt.share, Quota: api.NoQuota()}
		got, ok := Pick(&v, r)
		plan := Choose(v, r)
		if got != tt.want || ok != (tt.want != "") || plan.CellID != tt.want {
			t.Errorf("%s: picked %q, planned %q, want %q", name, got, plan.CellID, tt.want)
		}
		if tt.reason == "" {
			continue
		}
		if plan.Refusal == nil || plan.Refusal.Reason != tt.reason {
			t.Errorf("%s: refused with %v", name, plan.Refusal)
		}
		if said := plan.Candidates[0].Vetoes[0].Message; strings.Contains(said, "class "+string(tt.class)) != (tt.class != "") {
			t.Errorf("%s: the veto is %q", name, said)
		}
	}
}
