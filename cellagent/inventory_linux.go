package cellagent

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"strconv"
	"strings"

	"github.com/jaypipes/ghw"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/grafos/grafos/api"
)

// place is where a cell stands and how it is labelled; the operator says so.
type place struct {
	zone, rack string
	labels     map[string]string
	isolation  []string // what confines the workers
}

// probeHost reads what the hardware is: whole cores, bytes, bits per second. dir is on the
// disk that holds the blocks. What ghw cannot read on a host (no PCI bus, no database of
// devices) is left out: a cell without GPUs is a cell.
func probeHost(ctx context.Context, dir string, at place) (api.Inventory, error) {
	inv := api.Inventory{Zone: at.zone, Rack: at.rack, Labels: maps.Clone(at.labels), Isolation: at.isolation, GPUs: []api.GPU{}}
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return inv, fmt.Errorf("read memory: %w", err)
	}
	space, err := disk.UsageWithContext(ctx, dir)
	if err != nil {
		return inv, fmt.Errorf("read disk of %s: %w", dir, err)
	}
	inv.TotalMem = clampInt64(memory.Total)
	inv.TotalBlock = clampInt64(space.Total) / api.BlockSize * api.BlockSize
	// Modifiers are given in one context: the library reads its own environment otherwise.
	quiet := ghw.WithDisableTools()(ghw.WithDisableWarnings()(ctx))
	inv.TotalCPU = int64(runtime.NumCPU()) // what the agent may use, where the processors cannot be read
	if processors, err := ghw.CPU(quiet); err == nil && processors.TotalHardwareThreads > 0 {
		inv.TotalCPU = min(inv.TotalCPU, int64(processors.TotalHardwareThreads))
	}
	if network, err := ghw.Network(quiet); err == nil {
		addNICs(&inv, network.NICs)
	}
	if topology, err := ghw.Topology(quiet); err == nil {
		inv.NUMANodes = len(topology.Nodes)
	}
	if gpus, err := ghw.GPU(quiet); err == nil {
		addGPUs(&inv, gpus.GraphicsCards)
	}
	return inv, nil
}

// addNICs counts the real network cards and sums what their links carry.
func addNICs(inv *api.Inventory, nics []*ghw.NIC) {
	for _, n := range nics {
		if n.IsVirtual {
			continue
		}
		inv.NICCount++
		inv.TotalNet += linkSpeed(n.Speed)
	}
}

// linkSpeed reads "1000Mb/s" or, as sysfs has it, "1000", in bits per second. An unknown
// speed (a virtual machine's card says -1) is none.
func linkSpeed(s string) int64 {
	s = strings.TrimSpace(s)
	unit := int64(1_000_000)
	for suffix, u := range map[string]int64{"Kb/s": 1_000, "Mb/s": 1_000_000, "Gb/s": 1_000_000_000} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = number, u
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > api.MaxAmount/unit {
		return 0
	}
	return n * unit
}

// addGPUs lists the cards that can compute: the console of a server's own management
// controller is a graphics card too, and none of those.
func addGPUs(inv *api.Inventory, cards []*ghw.GraphicsCard) {
	for _, c := range cards {
		if c.DeviceInfo == nil || c.DeviceInfo.Vendor == nil || c.DeviceInfo.Product == nil {
			continue
		}
		switch c.DeviceInfo.Vendor.ID {
		case "10de", "1002", "8086": // NVIDIA, AMD, Intel
		default:
			continue
		}
		inv.GPUs = append(inv.GPUs, api.GPU{
			Model:   c.DeviceInfo.Vendor.Name + " " + c.DeviceInfo.Product.Name,
			Address: c.Address,
		})
	}
	inv.GPUCount = len(inv.GPUs)
}

func clampInt64(n uint64) int64 {
	return int64(min(n, uint64(api.MaxAmount)))
}

// blockShare is the part of the free disk that block leases get when nobody says otherwise:
// one in so many.
const blockShare = 2

// blockCapacity returns the bytes that block leases may take in all: what is configured, or a
// share of what is free on the disk of dir, less the reserve.
func blockCapacity(ctx context.Context, dir string, configured, reserve int64) (int64, error) {
	if configured > 0 {
		return configured, nil
	}
	space, err := disk.UsageWithContext(ctx, dir)
	if err != nil {
		return 0, err
	}
	return max(clampInt64(space.Free)/blockShare-reserve, 0), nil
}
