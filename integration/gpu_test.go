package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// gpuLease asks for gpus and returns the lease of them.
func gpuLease(t *testing.T, c *harness.Cluster, args ...string) api.Lease {
	t.Helper()
	var set api.GrantSet
	if err := c.JSON(t.Context(), &set, append([]string{"lease", "request", "--provider", "local"}, args...)...); err != nil {
		t.Fatal(err)
	}
	return set.Leases[0].Lease
}

// TestGPU: leases have devices by their ordinals and classes, from the command line to the cell and
// back, through the end of a lease, a fence and the death of the leader.
func TestGPU(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := upWith(t, "--schedulers", "3", "--cells", "1", "--gpu", "h100,h100", "--allow-overcommit")
	ctx := t.Context()
	refused := func(code int, part string, args ...string) {
		t.Helper()
		said, err := c.Exec(ctx, nil, append([]string{"lease", "request", "--provider", "local"}, args...)...)
		if err != nil || said.Code != code || !strings.Contains(string(said.Stderr), part) {
			t.Errorf("%v: exit %d, %v, %s", args, said.Code, err, said.Stderr)
		}
	}
	free := func(want int64) {
		t.Helper()
		eventually(t, 10*time.Second, func() string {
			var cells api.CellList
			if err := c.JSON(ctx, &cells, "fabric", "cells"); err != nil {
				return err.Error()
			}
			if got := cells.Cells[0].Free.GPU; got != want {
				return "the cell has other gpus free than expected"
			}
			return ""
		})
	}
	refused(2, "--gpu-class", "--gpu", "1", "--gpu-share", "0.5")
	refused(2, "none is asked for", "--cpu", "1", "--gpu-class", "shared")
	refused(2, "no share", "--gpu", "1", "--gpu-class", "device_exclusive", "--gpu-share", "0.5")
	refused(2, "0.001", "--gpu", "1", "--gpu-class", "shared", "--gpu-share", "1.5")
	refused(2, "is not one of", "--gpu", "1", "--gpu-class", "mine")

	one := gpuLease(t, c, "--gpu", "1", "--gpu-class", "shared", "--gpu-share", "0.25")
	if !strings.HasSuffix(one.Coordinate, "?gpu=0&class=shared&share=250") {
		t.Errorf("the coordinate is %s", one.Coordinate)
	}
	two := gpuLease(t, c, "--gpu", "1", "--gpu-class", "shared", "--gpu-share", "0.75")
	if g := two.Terms.Devices(); g == nil || len(g.Devices) != 1 || g.Devices[0] != 0 {
		t.Errorf("the rest of the gpu is not given: %+v", two.Terms)
	}
	free(1)
	alone := gpuLease(t, c, "--gpu", "1")
	if !strings.HasSuffix(alone.Coordinate, "?gpu=1&class=device_exclusive") {
		t.Errorf("the coordinate is %s", alone.Coordinate)
	}
	free(0)
	refused(4, "free", "--gpu", "1", "--gpu-class", "session_exclusive", "--gpu-share", "0.1")
	refused(4, "could ever hold", "--gpu", "3", "--gpu-class", "shared", "--gpu-share", "0.1")
	var plan api.Plan
	said, err := c.Exec(ctx, nil, "deploy", "plan", "--provider", "local", "--gpu", "1", "--gpu-class", "shared", "--gpu-share", "0.1", "--json")
	if err != nil || said.Code != 4 || json.Unmarshal(said.Stdout, &plan) != nil || !strings.Contains(plan.Candidates[0].Vetoes[0].Message, "class shared with 100 thousandths") {
		t.Errorf("the plan exits %d: %s %s", said.Code, said.Stdout, said.Stderr)
	}
	if shown, err := c.Run(ctx, "lease", "show", string(one.ID)); err != nil || !strings.Contains(string(shown), "gpu_class\tshared") || !strings.Contains(string(shown), "gpu_share\t0.25") {
		t.Errorf("the lease is shown as %s, %v", shown, err)
	}
	// The leader dies: the next one knows who has what.
	leader, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(ctx, leader.Name); err != nil {
		t.Fatal(err)
	}
	refused(4, "free", "--gpu", "1", "--gpu-class", "shared", "--gpu-share", "0.1")
	if _, err := c.Run(ctx, "lease", "free", string(one.ID), "--yes"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() string {
		said, err := c.Exec(ctx, nil, "lease", "request", "--provider", "local", "--gpu", "1", "--gpu-class", "shared", "--gpu-share", "0.25")
		if err != nil || said.Code != 0 {
			return string(said.Stderr)
		}
		return ""
	})
	free(0)
	if _, err := c.Run(ctx, "lease", "free", string(alone.ID), "--yes"); err != nil {
		t.Fatal(err)
	}
	free(1)
	// A run has them as well.
	module := filepath.Join(t.TempDir(), "hello.wasm")
	if err := os.WriteFile(module, hello(), 0o600); err != nil {
		t.Fatal(err)
	}
	var run api.RunAnswer
	if err := c.JSON(ctx, &run, "deploy", "run", "--provider", "local", "--module", module, "--gpu", "1", "--gpu-class", "session_exclusive", "--gpu-share", "0.5"); err != nil {
		t.Fatal(err)
	}
	for _, l := range run.Leases {
		if g := l.Terms.Devices(); l.Kind == api.KindGPU && (g == nil || g.Class != api.GPUSessionExclusive || g.Devices[0] != 1) {
			t.Errorf("the run's lease has %+v", l.Terms)
		}
	}
	free(1)
}

// TestGPUFence: a share whose teardown failed stays taken of its device, over restarts of the cell, until an
// operator clears it.
func TestGPUFence(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := upWith(t, "--schedulers", "1", "--cells", "1")
	ctx := t.Context()
	if err := c.Kill(ctx, "local-1"); err != nil {
		t.Fatal(err)
	}
	offer := []string{"--gpu", "h100", "--allow-overcommit"}
	faulty := startAgent(t, c, "local-1", []string{"GRAFOS_TEST_FAULTS=1"}, append(offer, "--test-faults", "teardown-fails:gpu:1")...)
	request := func(share string) harness.Said {
		t.Helper()
		said, err := c.Exec(ctx, nil, "lease", "request", "--provider", "local", "--gpu", "1", "--gpu-class", "shared", "--gpu-share", share, "--ttl", "1s", "--json")
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	var set api.GrantSet
	eventually(t, 30*time.Second, func() string {
		said := request("0.6")
		if said.Code != 0 {
			return string(said.Stderr)
		}
		if err := json.Unmarshal(said.Stdout, &set); err != nil {
			t.Fatal(err)
		}
		return ""
	})
	eventually(t, 20*time.Second, func() string {
		var list api.LeaseList
		if err := c.JSON(ctx, &list, "admin", "list-fenced-leases"); err != nil || len(list.Leases) != 1 {
			return "the lease is not fenced"
		}
		return ""
	})
	faulty.kill()
	startAgent(t, c, "local-1", nil, offer...)
	eventually(t, 30*time.Second, func() string {
		if said := request("0.4"); said.Code != 0 {
			return string(said.Stderr)
		}
		return ""
	})
	if said := request("0.5"); said.Code != 4 {
		t.Errorf("more than what the fence leaves: exit %d, %s", said.Code, said.Stderr)
	}
	if _, err := c.Run(ctx, "admin", "unfence-lease", string(set.Leases[0].ID), "--yes"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() string {
		if said := request("1"); said.Code != 0 {
			return string(said.Stderr)
		}
		return ""
	})
}
