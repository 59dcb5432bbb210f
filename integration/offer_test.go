package integration

import (
	"slices"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// TestOffer: a cell offers what its operator says, and more than its host has only where that is
// allowed; then it is shown.
func TestOffer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	ctx := t.Context()
	none := harness.At(binary(t), t.TempDir())
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"mem":         {[]string{"--mem", "7T"}, []string{"--mem offers 7696581394432 bytes (7 TiB), the host has", "--allow-overcommit"}},
		"gpu":         {[]string{"--gpu", "h100,h100"}, []string{"--gpu offers h100, h100, the host has", "--allow-overcommit"}},
		"half a core": {[]string{"--cpu", "1500"}, []string{"whole cores", "--reserve-cpu"}},
	} {
		said, err := none.Exec(ctx, nil, append([]string{"dev", "up", "--schedulers", "1", "--cells", "1"}, tt.args...)...)
		if err != nil || said.Code != 2 {
			t.Errorf("%s: exit %d, %v, %s", name, said.Code, err, said.Stderr)
		}
		for _, part := range tt.want {
			if !strings.Contains(string(said.Stderr), part) {
				t.Errorf("%s: %q is not in %s", name, part, said.Stderr)
			}
		}
	}
	c := upWith(t, "--schedulers", "1", "--cells", "1", "--cpu", "1000", "--mem", "256M", "--net", "1G", "--gpu", "h100,a100", "--allow-overcommit")
	var cells api.CellList
	if err := c.JSON(ctx, &cells, "fabric", "cells"); err != nil {
		t.Fatal(err)
	}
	inv, capacity := cells.Cells[0].Inventory, cells.Cells[0].Capacity
	if inv.TotalCPU != 1 || inv.TotalMem != 256<<20 || inv.TotalNet != 1<<30 || inv.GPUCount != 2 || inv.GPUs[1].Model != "a100" {
		t.Errorf("the inventory is %+v", inv)
	}
	if capacity.CPU != 1000 || capacity.Mem != 256<<20 || capacity.Net != 1<<30 || capacity.GPU != 2 {
		t.Errorf("the capacity is %+v", capacity)
	}
	if !slices.Contains(inv.Overcommit, api.KindGPU) || slices.Contains(inv.Overcommit, api.KindCPU) || slices.Contains(inv.Overcommit, api.KindMem) {
		t.Errorf("overcommit is %v", inv.Overcommit)
	}
	wide, err := c.Terminal(300).Run(ctx, "fabric", "cells", "-o", "wide")
	if err != nil || !strings.Contains(string(wide), "OVERCOMMIT") || !strings.Contains(string(wide), "gpu") {
		t.Errorf("the wide view is %s, %v", wide, err)
	}
	if _, err := c.Run(ctx, "lease", "request", "--provider", "local", "--gpu", "2", "--net", "1G"); err != nil {
		t.Error(err)
	}
	if said, err := c.Exec(ctx, nil, "lease", "request", "--provider", "local", "--mem", "257M"); err != nil || said.Code != 4 {
		t.Errorf("more than is offered: exit %d, %v, %s", said.Code, err, said.Stderr)
	}
	// What is offered stays over a restart, and a cell that runs is not told something else.
	if err := c.Restart(ctx, "local-1"); err != nil {
		t.Fatal(err)
	}
	if err := c.JSON(ctx, &cells, "fabric", "cells"); err != nil || cells.Cells[0].Capacity.With(api.KindBlock, capacity.Block) != capacity {
		t.Errorf("after a restart the capacity is %+v, %v", cells.Cells[0].Capacity, err)
	}
	if said, err := c.Exec(ctx, nil, "dev", "up", "--schedulers", "1", "--cells", "1", "--cpu", "2000"); err != nil || said.Code != 7 {
		t.Errorf("something else: exit %d, %v, %s", said.Code, err, said.Stderr)
	}
	if err := c.Kill(ctx, "local-1"); err != nil {
		t.Fatal(err)
	}
	high := startAgent(t, c, "local-1", nil, "--mem", "7T")
	if err := high.cmd.Wait(); high.cmd.ProcessState.ExitCode() != 2 || !strings.Contains(high.said(), "--mem offers") {
		t.Errorf("an agent beyond its host ends with %v: %s", err, high.said())
	}
}
