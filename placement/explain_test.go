package placement

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

// TestVetoes names every veto, alone and together: a cell keeps all of them.
func TestVetoes(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Cell)
		ask    api.Resources
		want   []api.Veto
	}{
		{"none", func(*Cell) {}, api.Resources{Mem: 1000}, []api.Veto{}},
		{"a requirement, with its reason", func(c *Cell) {
			c.Readiness.HealthyCell = false
			c.Reasons = []api.Reason{{Requirement: api.ReqHealthyCell, Message: "last heartbeat 47s ago, limit 15s"}}
		}, api.Resources{Mem: 1}, []api.Veto{{Code: "healthy_cell", Message: "last heartbeat 47s ago, limit 15s"}}},
		{
			"a requirement without one", func(c *Cell) { c.Readiness.CodeEnabled = false },
			api.Resources{Mem: 1},
			[]api.Veto{{Code: "code_enabled", Message: "not met"}},
		},
		{
			"draining", func(c *Cell) { c.Mode = api.ModeDraining },
			api.Resources{Mem: 1},
			[]api.Veto{{Code: "draining", Message: "it is draining and takes no new work"}},
		},
		{
			"in maintenance", func(c *Cell) { c.Mode = api.ModeMaintenance },
			api.Resources{Mem: 1},
			[]api.Veto{{Code: "maintenance", Message: "it is maintenance and takes no new work"}},
		},
		{"revoking", func(c *Cell) { c.Revoking = true }, api.Resources{Mem: 1}, []api.Veto{{Code: "revoking", Message: "it is being revoked"}}},
		{"revoked", func(c *Cell) { c.Revoking, c.Revoked = true, true }, api.Resources{Mem: 1}, []api.Veto{{Code: "revoked", Message: "its identity is revoked"}}},
		{"never", func(*Cell) {}, api.Resources{GPU: 1, Mem: 1001}, []api.Veto{
			{Code: "insufficient_mem", Message: "it has 1000 bytes of mem in all, 1001 are asked for"},
			{Code: "insufficient_gpu", Message: "it has 0 devices of gpu in all, 1 are asked for"},
		}},
		{
			"not now", func(c *Cell) { c.Free.CPU = -5 },
			api.Resources{CPU: 1},
			[]api.Veto{{Code: "full_cpu", Message: "0 of 4000 millicores of cpu are free, 1 are asked for"}},
		},
		{
			"fenced", func(c *Cell) { c.Free.Mem, c.Fenced.Mem = 200, 800 },
			api.Resources{Mem: 500},
			[]api.Veto{{Code: "full_mem", Message: "200 of 1000 bytes of mem are free, 800 are fenced, 500 are asked for"}},
		},
		{
			"no stamp", func(c *Cell) { c.HasStamp = false },
			api.Resources{Mem: 1},
			[]api.Veto{{Code: "heartbeat_unknown", Message: "the leader has no heartbeat of it that is fresh enough to date a grant"}},
		},
		{
			"no inventory: nobody knows what it has", func(c *Cell) {
				c.Readiness.InventoryReported, c.Capacity, c.Free = false, api.Resources{}, api.Resources{}
			},
			api.Resources{Mem: 1},
			[]api.Veto{{Code: "inventory_reported", Message: "not met"}},
		},
		{
			"free beyond its capacity is no capacity", func(c *Cell) { c.Capacity.Mem = 10 },
			api.Resources{Mem: 11},
			[]api.Veto{{Code: "insufficient_mem", Message: "it has 10 bytes of mem in all, 11 are asked for"}},
		},
		{"all at once", func(c *Cell) {
			c.Readiness.IdentityBound, c.Readiness.OutboundRegistered, c.Mode, c.Free.Mem, c.HasStamp = false, false, api.ModeDrained, 0, false
		}, api.Resources{CPU: 5000, Mem: 1}, []api.Veto{
			{Code: "identity_bound", Message: "not met"},
			{Code: "outbound_registered", Message: "not met"},
			{Code: "drained", Message: "it is drained and takes no new work"},
			{Code: "insufficient_cpu", Message: "it has 4000 millicores of cpu in all, 5000 are asked for"},
			{Code: "full_mem", Message: "0 of 1000 bytes of mem are free, 1 are asked for"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := cell("a", 1000)
			tt.change(&c)
			r := ask(0)
			r.Resources = tt.ask
			plan := Choose(view(c), r)
			if d := cmp.Diff(tt.want, plan.Candidates[0].Vetoes); d != "" {
				t.Errorf("vetoes (-want +got):\n%s", d)
			}
			if admitted := plan.Decision == api.DecisionAdmit; admitted != (len(tt.want) == 0) {
				t.Errorf("decision %s", plan.Decision)
			}
		})
	}
}

// TestOrderOfChecks takes a request that everything is wrong with and mends one thing after
// the other: each time the next check refuses.
func TestOrderOfChecks(t *testing.T) {
	c := cell("a", 100)
	c.Readiness.HealthyCell, c.Readiness.IdentityBound, c.HasStamp, c.Mode = false, false, false, api.ModeDraining
	v := View{Provider: api.Provider{ID: "p"}}
	r := ask(5000)
	r.Quota.Mem = 10
	steps := []struct {
		mend   func()
		kind   api.Kind
		reason string
	}{
		{func() {}, api.NotFound, ""},
		{func() { v.Known = true }, api.RuntimeNotReady, ""},
		{func() { v.Provider.Enabled = true }, api.RuntimeNotReady, ""},
		{func() { v.Cells = []Cell{c} }, api.RuntimeNotReady, ""},
		{func() { v.Cells[0].Readiness.HealthyCell = true }, api.NoEligibleProviderCells, api.ReasonUnready},
		{func() { v.Cells[0].Readiness.IdentityBound = true }, api.NoEligibleProviderCells, api.ReasonFull},
		{func() { v.Cells[0].Mode = api.ModeAccepting }, api.NoEligibleProviderCells, api.ReasonInsufficient},
		{func() { r.Resources.Mem = 500 }, api.QuotaExceeded, ""},
		{func() { r.Quota = api.NoQuota() }, api.NoEligibleProviderCells, api.ReasonFull},
		{func() { v.Cells[0].Free.Mem = 500 }, api.PlacementFailed, ""},
	}
	for i, s := range steps {
		s.mend()
		plan := Choose(v, r)
		e := plan.Refusal
		if e == nil || e.Kind != s.kind || e.Reason != s.reason || e.Provider != "p" || len(e.Candidates) != len(v.Cells) || e.Hint == "" {
			t.Fatalf("step %d: got %+v, want %s %q with provider, candidates and a hint", i, e, s.kind, s.reason)
		}
	}
	v.Cells[0].HasStamp = true
	if plan := Choose(v, r); plan.Decision != api.DecisionAdmit || plan.CellID != "a" || plan.Refusal != nil {
		t.Errorf("everything mended: %+v", plan)
	}
}

func TestScorePrefers(t *testing.T) {
	tests := []struct {
		name  string
		worse func(*Cell)
	}{
		{"fewer leases", func(c *Cell) { c.Leases++ }},
		{"the tighter fit", func(c *Cell) { c.Free.Mem += 100 }},
		{"the smaller id", func(*Cell) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := cell("a", 500), cell("b", 500)
			tt.worse(&b)
			for range 2 { // in either order
				plan := Choose(view(a, b), ask(100))
				if plan.CellID != "a" {
					t.Errorf("chose %s: %v", plan.CellID, plan.Candidates)
				}
				a, b = b, a
			}
		})
	}
}

func TestScoreIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.OneOf(rapid.Just(int64(api.MaxAmount)), rapid.Int64Range(0, api.MaxAmount))
		vector := func(name string) api.Resources {
			return api.Resources{CPU: amount.Draw(t, name), Mem: amount.Draw(t, name), Block: amount.Draw(t, name), Net: amount.Draw(t, name), GPU: amount.Draw(t, name)}
		}
		c := cell("a", 0)
		c.Capacity, c.Free, c.Leases = vector("capacity"), vector("free"), rapid.IntRange(0, 1<<30).Draw(t, "leases")
		if s := score(&c, vector("ask")); s < 0 || s > spreadWeight+fitWeight {
			t.Fatalf("score %d", s)
		}
	})
}

func drawFleet(t *rapid.T) (View, Request) {
	mode := rapid.SampledFrom([]api.CellMode{"", api.ModeAccepting, api.ModeAccepting, api.ModeDraining, api.ModeMaintenance})
	likely := func(name string) bool { return rapid.IntRange(0, 9).Draw(t, name) > 0 }
	amount := rapid.SampledFrom([]int64{0, 1, 10, 100})
	vector := func(name string) api.Resources {
		return api.Resources{CPU: amount.Draw(t, name), Mem: amount.Draw(t, name), Block: amount.Draw(t, name), Net: amount.Draw(t, name), GPU: amount.Draw(t, name)}
	}
	v := View{Provider: api.Provider{ID: "p", Enabled: likely("enabled")}, Known: likely("known")}
	for i := range rapid.IntRange(0, 7).Draw(t, "cells") {
		c := Cell{
			ID: api.CellID(fmt.Sprintf("c%d", i)), Mode: mode.Draw(t, "mode"), Capacity: vector("capacity"), HasStamp: likely("stamp"),
			Revoking: !likely("revoking"), Leases: rapid.IntRange(0, 3).Draw(t, "leases"),
			Readiness: api.Readiness{
				CodeEnabled: likely("code"), DurableRecord: true, IdentityBound: likely("identity"), HealthyCell: likely("healthy"),
				InventoryReported: likely("inventory"), OutboundRegistered: likely("outbound"),
			},
		}
		c.Free = c.Capacity.Sub(vector("used"))
		v.Cells = append(v.Cells, c)
	}
	r := ask(0)
	r.Resources = api.Resources{CPU: amount.Draw(t, "ask"), Mem: amount.Draw(t, "ask"), GPU: amount.Draw(t, "ask")}
	r.Quota.Leases = rapid.Int64Range(-1, 3).Draw(t, "quota")
	r.InUse = rapid.Int64Range(0, 2).Draw(t, "in use")
	return v, r
}

// TestExplanationIsWhole: every cell is there once, without vetoes exactly if it could take
// the request, and the whole plan is the same in whatever order the cells come.
func TestExplanationIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, r := drawFleet(t)
		plan := Choose(v, r)
		free, seen := 0, map[api.CellID]bool{}
		for i, k := range plan.Candidates {
			if seen[k.CellID] {
				t.Fatalf("%s is there twice", k.CellID)
			}
			seen[k.CellID] = true
			c := v.Cells[slices.IndexFunc(v.Cells, func(c Cell) bool { return c.ID == k.CellID })]
			able := c.Readiness.Ready() && !c.Revoking && (c.Mode == "" || c.Mode == api.ModeAccepting) && c.HasStamp &&
				c.Capacity.Fits(r.Resources) && c.Free.Fits(r.Resources)
			if able != (len(k.Vetoes) == 0) {
				t.Fatalf("%s could take it: %v, vetoes %v", k.CellID, able, k.Vetoes)
			}
			if able {
				free++
				sum := int64(0)
				for _, part := range k.Components {
					sum += part
				}
				if sum != k.Score || i > 0 && plan.Candidates[i-1].Score < k.Score {
					t.Fatalf("%s has score %d of %v, at place %d", k.CellID, k.Score, k.Components, i)
				}
			}
		}
		if len(seen) != len(v.Cells) {
			t.Fatalf("%d candidates for %d cells", len(seen), len(v.Cells))
		}
		open := v.Known && v.Provider.Enabled && r.Quota.Exceeded(r.Used, r.InUse, r.Resources, int64(r.Leases)) == nil
		if admitted := plan.Decision == api.DecisionAdmit; admitted != (open && free > 0) || admitted == (plan.Refusal != nil) {
			t.Fatalf("decision %s, refusal %v, %d cells could take it, open %v", plan.Decision, plan.Refusal, free, open)
		}
		if id, ok := Pick(&v, r); ok != (plan.Decision == api.DecisionAdmit) || id != plan.CellID {
			t.Fatalf("Pick says %q, Choose %q", id, plan.CellID)
		}
		other := v
		other.Cells = rapid.Permutation(v.Cells).Draw(t, "order")
		if d := cmp.Diff(plan, Choose(other, r)); d != "" {
			t.Fatalf("order matters:\n%s", d)
		}
	})
}

// BenchmarkRefuse1000 is the worst explanation: every cell has vetoes in words.
func BenchmarkRefuse1000(b *testing.B) {
	var cells []Cell
	for i := range 1000 {
		cells = append(cells, cell(fmt.Sprintf("c%04d", i), int64(i%99)))
	}
	v := view(cells...)
	for b.Loop() {
		Choose(v, ask(100))
	}
}
