package leader

import (
	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/placement"
)

// levelDevices is the level at which a decision says which gpus a lease has.
const levelDevices = 2

// gpuRequest fills in how the gpus of a request are had: each alone, where it does not say. A cluster
// of before leases numbers of gpus, and not which.
func (d *desk) gpuRequest(r *placement.Request) {
	if r.Resources.GPU > 0 && r.GPUClass == "" && d.view.Level() >= levelDevices {
		r.GPUClass = api.GPUDeviceExclusive
	}
}

// gpusAsked takes over what terms say of gpus.
func gpusAsked(r *placement.Request, t *api.Terms) {
	if t != nil && t.GPU != nil {
		r.GPUClass, r.GPUShare = t.GPU.Class, t.GPU.ShareMilli
	}
}

// assign chooses the gpus of a grant on a cell, and returns the terms that say so, and how many of
// them nobody had.
func assign(g *fsm.GrantLeases, cell *placement.Cell, r *placement.Request) (*api.Terms, int64, *api.Error) {
	ordinals, fresh, ok := cell.Choose(r)
	if !ok {
		return nil, 0, api.Refuse(api.PlacementFailed, "cell %s has no %d gpus for class %s", cell.ID, r.Resources.GPU, r.GPUClass)
	}
	terms := &api.Terms{GPU: &api.GPUTerms{Class: r.GPUClass, ShareMilli: r.GPUShare, Devices: ordinals}}
	if g.Terms != nil {
		terms.Egress = g.Terms.Egress
	}
	return terms, fresh, nil
}
