package cellagent

import (
	"fmt"
	"strings"

	"github.com/grafos/grafos/api"
)

// Offer is what an operator says that a cell has, in place of what its host has. What is zero, or
// nil, is the host's own.
type Offer struct {
	// CPU is in millicores of whole cores, Mem in bytes, Net in bits per second.
	CPU, Mem, Net int64
	// GPUs are models, one a device, in the order of their ordinals: each is a part of the name of
	// one of the host's. An empty list that is not nil is none.
	GPUs []string
	// Overcommit allows more than the host has.
	Overcommit bool
}

// gpusMost bounds the devices that are offered, gpuNameMost the bytes of a name.
const (
	gpusMost    = 64
	gpuNameMost = 64
)

func (o Offer) validate() error {
	for _, k := range api.LeaseKinds() {
		if n := o.amounts().Get(k); n < 0 || n > api.MaxAmount {
			return fmt.Errorf("%d %s of %s are offered: they must be from 0 to %d", n, k.Unit(), k, int64(api.MaxAmount))
		}
	}
	if o.CPU%1000 != 0 {
		return fmt.Errorf("%d millicores are offered: a cell has whole cores of 1000; keep the rest with --reserve-cpu", o.CPU)
	}
	if len(o.GPUs) > gpusMost {
		return fmt.Errorf("%d gpus are offered: at most %d", len(o.GPUs), gpusMost)
	}
	for _, name := range o.GPUs {
		if name == "" || len(name) > gpuNameMost || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("gpu model %q is empty, longer than %d bytes or not plain ASCII", clip(name), gpuNameMost)
		}
	}
	return nil
}

func (o Offer) amounts() api.Resources {
	return api.Resources{CPU: o.CPU, Mem: o.Mem, Net: o.Net, GPU: int64(len(o.GPUs))}
}

// over returns the inventory of a host as it is offered. Where more than that is not allowed, it is
// no more than the host's.
func (o Offer) over(host api.Inventory, block int64) api.Inventory {
	inv := host
	has := hardware(host)
	bound := func(offered, there int64) int64 {
		switch {
		case offered == 0:
			return there
		case o.Overcommit:
			return offered
		}
		return min(offered, there)
	}
	inv.TotalCPU = bound(o.CPU, has.CPU) / 1000
	inv.TotalMem = bound(o.Mem, has.Mem)
	if o.Net > 0 { // else what the cards say, which may be nothing
		inv.TotalNet = bound(o.Net, has.Net)
	}
	if o.GPUs != nil {
		inv.GPUs, _ = o.devices(host.GPUs)
		inv.GPUCount = len(inv.GPUs)
	}
	inv.Overcommit = nil
	if o.Overcommit {
		for _, e := range o.beyond(host, block) {
			inv.Overcommit = append(inv.Overcommit, e.kind)
		}
	}
	return inv
}

// hardware is what a host has, as leases count it. Cards none of which tells its speed, as those of
// virtual machines do not, carry whatever the operator says.
func hardware(inv api.Inventory) api.Resources {
	has := api.Resources{CPU: inv.TotalCPU * 1000, Mem: inv.TotalMem, Block: inv.TotalBlock, Net: inv.TotalNet, GPU: int64(inv.GPUCount)}
	if inv.TotalNet == 0 && inv.NICCount > 0 {
		has.Net = api.MaxAmount
	}
	return has
}

// devices returns the offered GPUs in their order, and those of them that the host has not; without
// overcommit only the others are in the first list.
func (o Offer) devices(host []api.GPU) (offered []api.GPU, unknown []string) {
	found := match(o.GPUs, host)
	offered = []api.GPU{}
	for i, name := range o.GPUs {
		switch {
		case found[i] >= 0:
			offered = append(offered, host[found[i]])
		case o.Overcommit:
			offered = append(offered, api.GPU{Model: name})
		}
		if found[i] < 0 {
			unknown = append(unknown, name)
		}
	}
	return offered, unknown
}

// match gives as many names as it can a device each whose model has the name in it, and returns
// their places; -1 is none. A device that a name has is given to another one where the first finds
// a different one.
func match(names []string, host []api.GPU) []int {
	holder, found := make([]int, len(host)), make([]int, len(names))
	for j := range holder {
		holder[j] = -1
	}
	fits := func(i, j int) bool {
		return strings.Contains(strings.ToLower(host[j].Model), strings.ToLower(names[i]))
	}
	var seek func(i int, tried []bool) bool
	seek = func(i int, tried []bool) bool {
		for j := range host { // a free one first: the order stays the host's
			if holder[j] < 0 && fits(i, j) {
				holder[j], found[i] = i, j
				return true
			}
		}
		for j := range host {
			if tried[j] || !fits(i, j) {
				continue
			}
			tried[j] = true
			if seek(holder[j], tried) {
				holder[j], found[i] = i, j
				return true
			}
		}
		return false
	}
	for i := range names {
		if !seek(i, make([]bool, len(host))) {
			found[i] = -1
		}
	}
	return found
}

// excess is what is offered beyond the hardware.
type excess struct {
	kind    api.LeaseKind
	offered string
	has     string
}

// beyond lists what is offered and not there. block is what block leases may take in all.
func (o Offer) beyond(host api.Inventory, block int64) []excess {
	var out []excess
	has, offered := hardware(host), o.amounts()
	offered.Block, offered.GPU = block, 0
	for _, k := range api.LeaseKinds() {
		if n := offered.Get(k); n > has.Get(k) {
			out = append(out, excess{k, amountOf(k, n), amountOf(k, has.Get(k))})
		}
	}
	if _, unknown := o.devices(host.GPUs); len(unknown) > 0 {
		models := make([]string, len(host.GPUs))
		for i, g := range host.GPUs {
			models[i] = g.Model
		}
		there := "none"
		if len(models) > 0 {
			there = strings.Join(models, ", ")
		}
		out = append(out, excess{api.KindGPU, strings.Join(unknown, ", "), there})
	}
	return out
}

// check refuses what is offered beyond the hardware, unless that is allowed.
func (o Offer) check(host api.Inventory, block int64) error {
	over := o.beyond(host, block)
	if o.Overcommit || len(over) == 0 {
		return nil
	}
	said := make([]string, len(over))
	for i, e := range over {
		said[i] = fmt.Sprintf("--%s offers %s, the host has %s", e.kind, e.offered, e.has)
	}
	return api.Refuse(api.InvalidArgument, "the cell would offer more than its host has: %s", strings.Join(said, "; ")).
		WithHint("offer at most what the host has, or allow more with --allow-overcommit")
}

// checkReserve refuses to keep more than is offered: the cell would be ready, and take nothing. All
// of it may be kept, as of the memory of a cell for blocks.
func checkReserve(inv api.Inventory, reserve api.Resources) error {
	whole := hardware(inv)
	for _, k := range []api.LeaseKind{api.KindCPU, api.KindMem} {
		if kept := reserve.Get(k); kept > whole.Get(k) {
			return api.Refuse(api.InvalidArgument, "--reserve-%s keeps %s, and the cell has %s: nothing is left to offer", k, amountOf(k, kept), amountOf(k, whole.Get(k))).
				WithHint("keep less: what the cell offers is what it has less --reserve-%s", k)
		}
	}
	return nil
}

// amountOf is an amount to the unit, and in round figures where that is easier to read.
func amountOf(k api.LeaseKind, n int64) string {
	exact := fmt.Sprintf("%d %s", n, k.Unit())
	if k == api.KindMem || k == api.KindBlock {
		return exact + " (" + api.FormatSize(n) + ")"
	}
	return exact
}
