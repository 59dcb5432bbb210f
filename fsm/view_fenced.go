package fsm

import "github.com/grafos/grafos/api"

// FencedOn lists the leases whose fence still takes something of a cell, by id.
func (v *View) FencedOn(c api.CellID) []api.Lease {
	use := v.leases.useOf(c)
	if (use.fenced == api.Resources{}) {
		return nil // almost always
	}
	var list []api.Lease
	use.held.Scan(func(epoch serial) bool {
		if l := v.lease(epoch); l.Fenced() {
			list = append(list, l)
		}
		return true
	})
	return byLeaseID(list)
}
