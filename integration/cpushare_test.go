package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestCPUShare: a lease says how its cell keeps its share, a run how much CPU time it used.
func TestCPUShare(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := upWith(t, "--schedulers", "1", "--cells", "1")
	ctx := t.Context()
	module := filepath.Join(t.TempDir(), "busy.wasm")
	if err := os.WriteFile(module, command(1, "", forever()), 0o600); err != nil {
		t.Fatal(err)
	}
	var cells api.CellList
	if err := c.JSON(ctx, &cells, "fabric", "cells"); err != nil {
		t.Fatal(err)
	}
	version := func(v string) bool { return slices.Contains(cells.Cells[0].Inventory.Isolation, "cgroup_"+v+"_cpu") }
	for priority, want := range map[string]api.CPUTier{"standard": "weight", "guaranteed": "quota"} {
		switch {
		case version("v1"):
			want = "cgroup_v1_" + want
		case version("v2"):
			want = "cgroup_v2_" + want
		default:
			want = api.CPUNice
		}
		said, err := c.Exec(ctx, nil, "deploy", "run", "--provider", "local", "--module", module, "--cpu", "200", "--ttl", "3s", "--priority", priority, "--json")
		if err != nil || said.Code != 1 {
			t.Fatalf("%s: exit %d, %v, %s", priority, said.Code, err, said.Stderr)
		}
		var runs api.RunList
		if err := c.JSON(ctx, &runs, "run", "list"); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(runs.Runs, func(r api.Run) bool { return string(r.Priority) == priority })
		var run api.RunAnswer
		if err := c.JSON(ctx, &run, "run", "show", string(runs.Runs[i].ID)); err != nil {
			t.Fatal(err)
		}
		took := time.Duration(run.CPUMs) * time.Millisecond
		t.Logf("%s: %s of CPU in 3s, %s", priority, took, want)
		if took <= 0 || took > 4*time.Second || strings.HasSuffix(string(want), "quota") && took > 1200*time.Millisecond {
			t.Errorf("%s: a share of 200 millicores used %s of CPU in 3s", priority, took)
		}
		lease := run.Leases[slices.IndexFunc(run.Leases, func(l api.Lease) bool { return l.Kind == api.KindCPU })]
		if lease.CPUTier() != want {
			t.Errorf("%s: the share is kept by %q, want %q: %s", priority, lease.CPUTier(), want, lease.Coordinate)
		}
		if shown, err := c.Terminal(120).Run(ctx, "lease", "show", string(lease.ID)); err != nil || !strings.Contains(string(shown), string(want)) {
			t.Errorf("%s: the tier %q is not shown: %s, %v", priority, want, shown, err)
		}
		if shown, err := c.Terminal(120).Run(ctx, "run", "show", string(run.ID)); err != nil || !strings.Contains(string(shown), "cpu time") {
			t.Errorf("%s: the CPU time is not shown: %s, %v", priority, shown, err)
		}
	}
	var set api.GrantSet
	if err := c.JSON(ctx, &set, "lease", "request", "--provider", "local", "--cpu", "100"); err != nil {
		t.Fatal(err)
	}
	if shown, err := c.Run(ctx, "lease", "show", string(set.Leases[0].ID)); err != nil || !strings.Contains(string(shown), string(api.CPUReservation)) {
		t.Errorf("a lease without a run is shown as %s, %v", shown, err)
	}
}
