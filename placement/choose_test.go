package placement

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func ready() api.Readiness {
	return api.Readiness{CodeEnabled: true, DurableRecord: true, IdentityBound: true, HealthyCell: true, InventoryReported: true, OutboundRegistered: true}
}

func cell(id string, free int64) Cell {
	return Cell{
		ID: api.CellID(id), Readiness: ready(), Mode: api.ModeAccepting, HasStamp: true,
		Capacity: api.Resources{CPU: 4000, Mem: 1000}, Free: api.Resources{CPU: 4000, Mem: free},
	}
}

func view(cells ...Cell) View {
	return View{Provider: api.Provider{ID: "p", Enabled: true}, Known: true, Cells: cells}
}

func ask(mem int64) Request {
	return Request{Provider: "p", Tenant: "t", Resources: api.Resources{Mem: mem}, Leases: 1, Quota: api.NoQuota()}
}

func TestChooseRefuses(t *testing.T) {
	sick, unbound, draining, silent := cell("a", 1000), cell("a", 1000), cell("a", 1000), cell("a", 1000)
	sick.Readiness.HealthyCell = false
	unbound.Readiness.IdentityBound = false
	draining.Mode = api.ModeDraining
	silent.HasStamp = false
	revoked := cell("a", 1000)
	revoked.Revoked, revoked.Readiness.HealthyCell = true, false
	quota := ask(100)
	quota.Quota.Mem, quota.Used.Mem = 150, 100
	tooBigAndOverQuota := ask(5000)
	tooBigAndOverQuota.Quota.Mem = 10
	fullAndOverQuota := ask(600)
	fullAndOverQuota.Quota.Mem = 10
	disabled := view(cell("a", 1000))
	disabled.Provider.Enabled = false
	tests := []struct {
		name   string
		view   View
		ask    Request
		kind   api.Kind
		reason string
	}{
		{"unknown provider", View{}, ask(1), api.NotFound, ""},
		{"disabled", disabled, ask(1), api.RuntimeNotReady, ""},
		{"no cell", view(), ask(1), api.RuntimeNotReady, ""},
		{"only a revoked cell", view(revoked), ask(1), api.RuntimeNotReady, ""},
		{"none healthy", view(sick), ask(1), api.RuntimeNotReady, ""},
		{"healthy, not ready", view(unbound), ask(1), api.NoEligibleProviderCells, api.ReasonUnready},
		{"draining", view(draining), ask(1), api.NoEligibleProviderCells, api.ReasonFull},
		{"never fits", view(cell("a", 1000)), ask(1001), api.NoEligibleProviderCells, api.ReasonInsufficient},
		{"never fits comes before quota", view(cell("a", 1000)), tooBigAndOverQuota, api.NoEligibleProviderCells, api.ReasonInsufficient},
		{"quota", view(cell("a", 1000)), quota, api.QuotaExceeded, ""},
		{"quota comes before room", view(cell("a", 500)), fullAndOverQuota, api.QuotaExceeded, ""},
		{"full", view(cell("a", 500), cell("b", 400)), ask(600), api.NoEligibleProviderCells, api.ReasonFull},
		{"vetoed", view(silent), ask(1), api.PlacementFailed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := Choose(tt.view, tt.ask)
			if plan.Decision != api.DecisionRefuse || plan.Refusal == nil {
				t.Fatalf("got %+v, want a refusal", plan)
			}
			if plan.Refusal.Kind != tt.kind || plan.Refusal.Reason != tt.reason {
				t.Errorf("got %s %q, want %s %q", plan.Refusal.Kind, plan.Refusal.Reason, tt.kind, tt.reason)
			}
			if id, ok := Pick(&tt.view, tt.ask); ok {
				t.Errorf("Pick chose %s", id)
			}
		})
	}
}

// A cell on its way back takes no work either: the refusal does not say that it is draining.
func TestOutOfServiceNamesEachMode(t *testing.T) {
	c := cell("a", 1000)
	c.Mode = api.ModeReturning
	if e := Choose(view(c), ask(1)).Refusal; !strings.Contains(e.Detail, "returning") || !strings.Contains(e.Hint, "grafos provider status p") || e.RetryAfterMs != 0 {
		t.Errorf("%v, hint %q", e, e.Hint)
	}
}

func TestChooseNamesTheNearestShortage(t *testing.T) {
	e := Choose(view(cell("a", 100), cell("b", 500)), ask(600)).Refusal
	if e.Shortage == nil || *e.Shortage != (api.Shortage{Resource: "mem", Limit: 1000, InUse: 500, Asked: 600}) {
		t.Errorf("got %+v", e.Shortage)
	}
}

// Where fences are what is missing, the refusal says who sees them, and promises nothing for a time when
// nobody has lifted them.
func TestFullNamesFences(t *testing.T) {
	fenced := func(id string, free, fenced int64) Cell {
		c := cell(id, free)
		c.Fenced.Mem = fenced
		return c
	}
	const sees = "grafos admin list-fenced-leases"
	for name, tc := range map[string]struct {
		view  View
		names string // the cell; "" is that fences have nothing to do with it
		waits bool
	}{
		"no fence":                           {view(cell("a", 100), cell("b", 0)), "", true},
		"a fence that would not do":          {view(fenced("a", 100, 200)), "", true},
		"the fence is all that is missing":   {view(fenced("a", 100, 500)), "a", false},
		"the same, of few":                   {view(fenced("a", 400, 200)), "a", true},
		"in the way, and leases are too":     {view(fenced("a", 0, 500)), "a", false},
		"in the way on one, leases on other": {view(fenced("a", 0, 500), cell("b", 100)), "", true},
		"another would do at once":           {view(fenced("a", 0, 500), fenced("b", 400, 300)), "b", true},
	} {
		e := Choose(tc.view, ask(600)).Refusal
		if e == nil || e.Reason != api.ReasonFull {
			t.Fatalf("%s: %v", name, e)
		}
		if says := strings.Contains(e.Hint, sees); says != (tc.names != "") || !strings.Contains(e.Hint, "Some of "+tc.names+" is") && says || (e.RetryAfterMs > 0) != tc.waits {
			t.Errorf("%s: hint %q, may work again in %d ms", name, e.Hint, e.RetryAfterMs)
		}
	}
}

// All 64 combinations of the requirements: only all true admits.
func TestOnlyAllSixAdmit(t *testing.T) {
	for bits := range 64 {
		c := cell("a", 1000)
		on := func(i int) bool { return bits&(1<<i) != 0 }
		c.Readiness = api.Readiness{
			CodeEnabled: on(0), DurableRecord: on(1), IdentityBound: on(2), HealthyCell: on(3), InventoryReported: on(4), OutboundRegistered: on(5),
		}
		plan := Choose(view(c), ask(1))
		if admitted := plan.Decision == api.DecisionAdmit; admitted != (bits == 63) {
			t.Errorf("%06b: admitted %v", bits, admitted)
		}
		if got := len(plan.Candidates[0].Vetoes); bits != 63 && got != len(c.Readiness.Unmet()) {
			t.Errorf("%06b: %d vetoes for %d unmet requirements", bits, got, len(c.Readiness.Unmet()))
		}
	}
}

func drawCell(t *rapid.T, i int) Cell {
	c := cell(fmt.Sprintf("c%02d", i), rapid.Int64Range(-10, 1000).Draw(t, "free"))
	c.Readiness.HealthyCell = rapid.Bool().Draw(t, "healthy")
	c.Readiness.IdentityBound = rapid.IntRange(0, 3).Draw(t, "identity") > 0
	c.HasStamp = rapid.IntRange(0, 3).Draw(t, "stamp") > 0
	c.Leases = rapid.IntRange(0, 40).Draw(t, "leases")
	if rapid.IntRange(0, 5).Draw(t, "mode") == 0 {
		c.Mode = api.ModeDraining
	}
	return c
}

func TestChooseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var cells []Cell
		for i := range rapid.IntRange(0, 8).Draw(t, "cells") {
			cells = append(cells, drawCell(t, i))
		}
		r := ask(rapid.Int64Range(1, 1200).Draw(t, "mem"))
		r.Quota.Mem = rapid.Int64Range(-1, 1200).Draw(t, "quota")
		v := view(cells...)
		plan := Choose(v, r)
		if len(plan.Candidates) != len(cells) {
			t.Fatalf("%d candidates for %d cells", len(plan.Candidates), len(cells))
		}
		fits := false
		for _, c := range plan.Candidates {
			if len(c.Vetoes) == 0 {
				fits = true
			} else if c.CellID == plan.CellID {
				t.Fatalf("chose %s, which has vetoes %v", c.CellID, c.Vetoes)
			}
		}
		inQuota := r.Quota.Exceeded(r.Used, r.InUse, r.Resources, 1) == nil
		if admitted := plan.Decision == api.DecisionAdmit; admitted != (fits && inQuota) {
			t.Fatalf("decision %s, some cell fits: %v, in quota: %v", plan.Decision, fits, inQuota)
		}
		if id, ok := Pick(&v, r); ok != (plan.Decision == api.DecisionAdmit) || id != plan.CellID {
			t.Fatalf("Pick says %q %v, Choose %q %s", id, ok, plan.CellID, plan.Decision)
		}
		shuffled := append([]Cell{}, cells...)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := Choose(view(shuffled...), r); again.CellID != plan.CellID || again.Score != plan.Score {
			t.Fatalf("order matters: %s %d, then %s %d", plan.CellID, plan.Score, again.CellID, again.Score)
		}
	})
}

func BenchmarkPick1000(b *testing.B) {
	var cells []Cell
	for i := range 1000 {
		c := cell(fmt.Sprintf("c%04d", i), int64(i))
		c.Leases = i % 17
		cells = append(cells, c)
	}
	v := view(cells...)
	b.Run("pick", func(b *testing.B) {
		for b.Loop() {
			Pick(&v, ask(100))
		}
	})
	b.Run("choose", func(b *testing.B) {
		for b.Loop() {
			Choose(v, ask(100))
		}
	})
}
