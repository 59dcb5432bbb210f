package fsm

import "github.com/grafos/grafos/api"

// production reports whether a cell, or its provider, is marked production.
func (v *View) production(c *api.CellRecord) bool {
	if c.Production {
		return true
	}
	p, known := v.providers.at(c.Provider)
	return known && p.Production
}

// Unproven reports whether a cell has to pass the conformance suite before it takes leases.
func (v *View) Unproven(c api.CellRecord) bool { return c.Unproven(v.production(&c)) }

// Unrated lists the cells that are marked production, and have no result of the conformance suite for the
// agent that they have.
func (v *View) Unrated() []api.CellRecord {
	return v.CellsWhere(func(c *api.CellRecord) bool { return v.production(c) && c.Conformance() == api.ConformanceNone })
}
