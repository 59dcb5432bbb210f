package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// tally is what leases take of one cell, counted one by one.
type tally struct {
	used    api.Resources // without the gpus that leases name
	devices api.GPUUses
	named   map[int][]api.Lease // by the gpus that they name
}

// add counts a lease that occupies the cell.
func (t *tally) add(l api.Lease) {
	g := l.Terms.Devices()
	if g == nil {
		t.used = t.used.Add(api.Resources{}.With(l.Kind, l.Amount))
		return
	}
	t.devices = t.devices.With(l.Tenant, g, l.Fenced(), 1)
	if t.named == nil {
		t.named = map[int][]api.Lease{}
	}
	for _, o := range g.Devices {
		t.named[o] = append(t.named[o], l)
	}
}

// all is what the leases take, a shared device once.
func (t *tally) all() api.Resources {
	return t.used.With(api.KindGPU, t.used.GPU+int64(len(t.named)))
}

// sharing checks I1 of the devices: at most the whole of each, in one class, and where the class has one
// tenant or one lease, of that alone.
func (c *checker) sharing(id api.CellID, t *tally) {
	for o, leases := range t.named {
		sum, first := int64(0), leases[0]
		for _, l := range leases {
			g := l.Terms.Devices()
			sum += g.Share()
			c.want(g.Class == first.Terms.Devices().Class && (g.Class == api.GPUShared || l.Tenant == first.Tenant), "I1",
				"gpu %d of cell %s is %s to %s and %s to %s", o, id, first.Terms.Devices().Class, first.ID, g.Class, l.ID)
			c.want(g.Class != api.GPUDeviceExclusive || len(leases) == 1, "I1", "gpu %d of cell %s is one lease's alone and %d have it", o, id, len(leases))
		}
		c.want(sum <= api.WholeGPU, "I1", "leases have %d thousandths of gpu %d of cell %s", sum, o, id)
	}
	c.want(slices.Equal(c.v.Devices(id), t.devices), "I3", "the gpus of cell %s are said to be %+v and are %+v", id, c.v.Devices(id), t.devices)
}
