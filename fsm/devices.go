package fsm

import "github.com/grafos/grafos/api"

// Devices returns what leases take of the gpus of a cell. Leases that do not say which they have are
// not in it.
func (v *View) Devices(id api.CellID) api.GPUUses { return v.Use(id).Devices() }

// devicesOf is Devices of the table as it is.
func (t *leaseTable) devicesOf(id api.CellID) api.GPUUses {
	if use := t.findCell(id); use != nil {
		return use.devices
	}
	return nil
}

// takeDevices counts l among the devices that it has, or with sign -1 not any more, and returns by
// how much that changes what is used and what is fenced of the cell: a device that is shared counts once.
func (c *cellUse) takeDevices(l *api.Lease, g *api.GPUTerms, fenced bool, sign int) (used, quarantined int64) {
	usedBefore, fencedBefore := c.devices.Taken()
	c.devices = c.devices.With(l.Tenant, g, fenced, sign)
	usedAfter, fencedAfter := c.devices.Taken()
	return usedAfter - usedBefore, fencedAfter - fencedBefore
}

// checkDevices refuses terms that do not name a device for each that is asked for, of one lease.
func (c *GrantLeases) checkDevices(ask api.Resources) *api.Error {
	if c.Terms == nil || c.Terms.GPU == nil {
		return nil
	}
	leases := 0
	for _, i := range c.Items {
		if i.Kind == api.KindGPU {
			leases++
		}
	}
	if leases == 1 && int64(len(c.Terms.GPU.Devices)) == ask.GPU {
		return nil
	}
	return api.Refuse(api.InvalidArgument, "%d gpus are asked for by %d leases, and %d are chosen", ask.GPU, leases, len(c.Terms.GPU.Devices))
}

// onDevices checks the chosen devices, and returns what the grant takes of the cell: of the gpus only
// those that nobody has yet.
func (c *GrantLeases) onDevices(s *State, ask api.Resources) (api.Resources, *api.Error) {
	if c.Terms == nil || c.Terms.GPU == nil {
		return ask, nil
	}
	cell, ok := s.cells.at(c.Cell)
	if !ok {
		return ask, nil // as is said next
	}
	devices := s.leases.devicesOf(c.Cell)
	if p := devices.Check(c.Tenant, c.Terms.GPU, cell.Capacity.GPU); p != nil {
		return ask, api.Refuse(api.Conflict, "%s: %s", cellWhat(c.Provider, c.Cell), p.Detail)
	}
	return ask.With(api.KindGPU, devices.Fresh(c.Terms.GPU)), nil
}
