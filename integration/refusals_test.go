package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// testAdmission goes through the four refusals of admission in their order: each request is
// wrong in all the ways that come later, and only the first one answers.
func (d *door) testAdmission(t *testing.T) {
	defer d.sound(t)
	cells := localCells(t, d)
	module := d.module(t, "admission", hello)
	d.must(t, "admin", "set-quota", "globex", "--mem", "1M", "--leases", "2")
	defer d.must(t, "admin", "set-quota", "globex", "--mem", "unlimited", "--leases", "unlimited")

	// refused asks three times: for leases, for a run and for a plan.
	refused := func(t *testing.T, kind api.Kind, reason, words, provider string, flags ...string) api.Error {
		t.Helper()
		var before api.RunList
		d.into(t, &before, "run", "list")
		flags = append([]string{"--provider", provider, "--tenant", "globex"}, flags...)
		p := d.refuse(t, kind, 4, words, append([]string{"lease", "request"}, flags...)...)
		r := d.refuse(t, kind, 4, words, append([]string{"deploy", "run", "--module", module}, flags...)...)
		said := d.exec(t, nil, append(append([]string{"deploy", "plan"}, flags...), "--json")...)
		var plan api.Plan
		oneDocument(t, said.Stdout, &plan)
		if said.Code != 4 || plan.Decision != api.DecisionRefuse || plan.Refusal == nil || plan.Refusal.Kind != kind || plan.Refusal.Reason != reason {
			t.Errorf("the plan exits %d and says %+v", said.Code, plan.Refusal)
		}
		if p.Reason != reason || r.Reason != reason || string(p.Provider) != provider {
			t.Errorf("reasons %q and %q of provider %q, want %q", p.Reason, r.Reason, p.Provider, reason)
		}
		var after api.RunList
		d.into(t, &after, "run", "list")
		if len(after.Runs) != len(before.Runs) || len(leasesOf(t, d, "globex")) != 0 {
			t.Error("a refused request left a record")
		}
		return p
	}
	impossible := []string{"--mem", "7T"} // beyond every cell and every quota

	t.Run("disabled", func(t *testing.T) {
		refused(t, api.RuntimeNotReady, "", "provider enable aws", "aws", impossible...)
	})
	t.Run("without cells", func(t *testing.T) {
		d.must(t, "provider", "enable", "azure")
		defer d.must(t, "provider", "disable", "azure")
		refused(t, api.RuntimeNotReady, "", "no cell", "azure", impossible...)
	})
	t.Run("without healthy cells", func(t *testing.T) {
		d.must(t, "provider", "enable", "gcp")
		defer d.must(t, "provider", "disable", "gcp")
		c := newFakeCell(t, d, "gcp", "gcp-silent")
		c.register(t)
		p := refused(t, api.RuntimeNotReady, "", "healthy", "gcp", impossible...)
		if i := slices.IndexFunc(p.Candidates, func(c api.Candidate) bool { return c.CellID == "gcp-silent" }); i < 0 || !vetoed(p.Candidates[i], "healthy_cell") {
			t.Errorf("candidates %+v", p.Candidates)
		}
	})
	t.Run("without ready cells", func(t *testing.T) {
		d.must(t, "provider", "enable", "gcp")
		defer d.must(t, "provider", "disable", "gcp")
		c := newFakeCell(t, d, "gcp", "gcp-mute")
		c.register(t)
		stop := c.live(t)
		defer stop()
		eventually(t, 10*time.Second, func() string {
			if cell := cellOf(t, d, "gcp", "gcp-mute"); !cell.Readiness.HealthyCell || !cell.Readiness.OutboundRegistered {
				return fmt.Sprintf("gcp-mute: %+v", cell.Reasons)
			}
			return ""
		})
		p := refused(t, api.NoEligibleProviderCells, api.ReasonUnready, "", "gcp", impossible...)
		for _, c := range p.Candidates {
			if c.CellID == "gcp-mute" && (len(c.Vetoes) != 1 || !vetoed(c, "inventory_reported")) {
				t.Errorf("gcp-mute has vetoes %+v", c.Vetoes)
			}
		}
		cell := cellOf(t, d, "gcp", "gcp-mute")
		if cell.Ready || len(cell.Reasons) != 1 || cell.Reasons[0].Requirement != api.ReqInventoryReported || cell.Reasons[0].Hint == "" {
			t.Errorf("the cell gives reasons %+v", cell.Reasons)
		}
	})
	t.Run("never fits", func(t *testing.T) {
		p := refused(t, api.NoEligibleProviderCells, api.ReasonInsufficient, "", "local", impossible...)
		if p.Shortage == nil || p.Resource != "mem" || p.Asked != 7<<40 || p.Limit != cells[0].Capacity.Mem {
			t.Errorf("evidence %+v", p.Shortage)
		}
		if len(p.Candidates) != 3 || !vetoed(p.Candidates[0], "insufficient_mem") {
			t.Errorf("candidates %+v", p.Candidates)
		}
		for _, flags := range [][]string{{"--gpu", "1"}, {"--net", "1G"}, {"--cpu", "900000"}, {"--block", "7T"}} {
			refused(t, api.NoEligibleProviderCells, api.ReasonInsufficient, "", "local", append(flags, "--mem", "2M")...)
		}
	})

	// From here on no cell has a core left.
	var full []api.LeaseID
	for range cells {
		var set api.GrantSet
		d.into(t, &set, "lease", "request", "--provider", "local", "--tenant", "acme", "--cpu", fmt.Sprint(cells[0].Capacity.CPU), "--ttl", "10m")
		full = append(full, set.Leases[0].ID)
	}
	t.Run("over quota", func(t *testing.T) {
		p := refused(t, api.QuotaExceeded, "", "set-quota globex", "local", "--cpu", "500", "--mem", "2M")
		if p.Shortage == nil || *p.Shortage != (api.Shortage{Resource: "mem", Limit: 1 << 20, InUse: 0, Asked: 2 << 20}) {
			t.Errorf("evidence %+v", p.Shortage)
		}
		p = refused(t, api.QuotaExceeded, "", "leases", "local", "--cpu", "1", "--mem", "64K", "--block", "512")
		if p.Shortage == nil || *p.Shortage != (api.Shortage{Resource: "leases", Limit: 2, InUse: 0, Asked: 3}) {
			t.Errorf("evidence %+v", p.Shortage)
		}
	})
	t.Run("full", func(t *testing.T) {
		p := refused(t, api.NoEligibleProviderCells, api.ReasonFull, "", "local", "--cpu", "1", "--mem", "64K")
		if p.Shortage == nil || p.Resource != "cpu" || p.Asked != 1 || p.Limit != cells[0].Capacity.CPU || p.InUse != p.Limit {
			t.Errorf("evidence %+v", p.Shortage)
		}
		for _, c := range p.Candidates {
			if !vetoed(c, "full_cpu") {
				t.Errorf("%s has vetoes %+v", c.CellID, c.Vetoes)
			}
		}
	})
	for _, id := range full {
		d.must(t, "lease", "free", string(id))
	}
	torndown(t, d, full...)

	t.Run("quota counts what is held", func(t *testing.T) {
		var set api.GrantSet
		d.into(t, &set, "lease", "request", "--provider", "local", "--tenant", "globex", "--mem", "700K", "--ttl", "5m")
		p := d.refuse(t, api.QuotaExceeded, 4, "mem", "lease", "request", "--provider", "local", "--tenant", "globex", "--mem", "400K")
		if p.Shortage == nil || *p.Shortage != (api.Shortage{Resource: "mem", Limit: 1 << 20, InUse: 700 << 10, Asked: 400 << 10}) {
			t.Errorf("evidence %+v", p.Shortage)
		}
		d.must(t, "lease", "free", string(set.Leases[0].ID))
		torndown(t, d, set.Leases[0].ID)
		d.into(t, &set, "lease", "request", "--provider", "local", "--tenant", "globex", "--mem", "400K")
		freeAll(t, d, "globex")
	})
	t.Run("refusals are audited", func(t *testing.T) {
		eventually(t, 5*time.Second, func() string { // they are put together for a second
			out := d.exec(t, nil, "admin", "audit-query", "--kind", "admission_refused", "-o", "jsonl")
			if out.Code != 0 || len(out.Stdout) == 0 {
				return fmt.Sprintf("no refusal in the chain: %s", out.Stderr)
			}
			for _, kind := range []api.Kind{api.RuntimeNotReady, api.NoEligibleProviderCells, api.QuotaExceeded} {
				if !strings.Contains(string(out.Stdout), string(kind)) {
					return string(kind) + " is not in the chain"
				}
			}
			return ""
		})
	})
}

func vetoed(c api.Candidate, code string) bool {
	return slices.ContainsFunc(c.Vetoes, func(v api.Veto) bool { return v.Code == code && len(v.Message) > 5 })
}

// localCells returns the cells of the dev cluster's provider.
func localCells(t *testing.T, d *door) []api.Cell {
	t.Helper()
	var s api.ProviderStatus
	d.into(t, &s, "provider", "status", "local")
	return s.Cells
}

func cellOf(t *testing.T, d *door, provider, id string) api.Cell {
	t.Helper()
	var s api.ProviderStatus
	d.into(t, &s, "provider", "status", provider)
	for _, c := range s.Cells {
		if string(c.CellID) == id {
			return c
		}
	}
	return api.Cell{}
}
