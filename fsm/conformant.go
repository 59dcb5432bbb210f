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

// unproven reports whether a cell has to pass the conformance suite before it takes leases.
func (v *View) unproven(c *api.CellRecord) bool {
	return v.production(c) && c.Conformance() != api.ConformancePassed
}

// Unproven reports whether a cell is marked production, itself or with its provider, and has not passed
// the conformance suite with the agent that it has: it takes no lease but the suite's own.
func (v *View) Unproven(c api.CellRecord) bool { return v.unproven(&c) }
