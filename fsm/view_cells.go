package fsm

import (
	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm/internal/cow"
)

// Provider returns a provider's record.
func (v *View) Provider(id api.ProviderID) (api.Provider, bool) { return v.providers.Get(id) }

// Providers lists all providers by id.
func (v *View) Providers() []api.Provider {
	list := make([]api.Provider, 0, v.providers.Len())
	v.providers.Scan(func(_ api.ProviderID, p api.Provider) bool {
		list = append(list, p)
		return true
	})
	return list
}

// Cell returns a cell's record.
func (v *View) Cell(id api.CellID) (api.CellRecord, bool) { return v.cells.Get(id) }

// Cells lists the cells of a provider by id, of all providers when p is "".
func (v *View) Cells(p api.ProviderID) []api.CellRecord {
	var list []api.CellRecord
	v.cells.Scan(func(_ api.CellID, c api.CellRecord) bool {
		if p == "" || c.Provider == p {
			list = append(list, c)
		}
		return true
	})
	return list
}

// EachCell looks at the cells of a provider where they are, at all cells when p is "", in the order of
// their ids, and changes none. A record never changes: one that is at the same place in another view is the
// same.
func (v *View) EachCell(p api.ProviderID, look func(*api.CellRecord)) {
	v.cells.each(func(c *api.CellRecord) {
		if p == "" || c.Provider == p {
			look(c)
		}
	})
}

// CellsWhere lists the cells that want says yes to. It looks at each where it is, and keeps and changes
// none: of a large fleet, few are copied.
func (v *View) CellsWhere(want func(*api.CellRecord) bool) []api.CellRecord {
	var list []api.CellRecord
	v.cells.each(func(c *api.CellRecord) {
		if want(c) {
			list = append(list, *c)
		}
	})
	return list
}

// CellUse is what the leases of a cell take of it. It never changes: one that is equal in two views says
// that nothing of it changed between them.
type CellUse struct{ of *cellUse }

// CellsMark is the cells of a view, and what leases take of them, to be compared with those of a later one.
type CellsMark struct {
	records cow.Tree[text, *api.CellRecord]
	uses    cow.Hash[*cellUse]
}

// CellsMark returns that of the view. It does not hold the rest of the view in memory.
func (v *View) CellsMark() CellsMark { return CellsMark{v.cells.tree, v.leases.cells} }

// CellsSince calls visit with the ids of the cells of which what leases take may have changed since an
// older view of the same state, each once or more. It returns false where records may have changed too, and
// then visits none: all are to be looked at.
func (v *View) CellsSince(old *CellsMark, visit func(api.CellID)) bool {
	if !v.cells.tree.Same(&old.records) {
		return false
	}
	v.leases.cells.Differ(&old.uses, func(u *cellUse) { visit(u.id) })
	return true
}

// Use returns what the leases of a cell take of it.
func (v *View) Use(id api.CellID) CellUse { return CellUse{v.leases.findCell(id)} }

// Used is View.Used.
func (u CellUse) Used() (r api.Resources) {
	if u.of != nil {
		r = u.of.used
	}
	return r
}

// Fenced is View.Fenced.
func (u CellUse) Fenced() (r api.Resources) {
	if u.of != nil {
		r = u.of.fenced
	}
	return r
}

// Leases is View.LeaseCount.
func (u CellUse) Leases() int {
	if u.of == nil {
		return 0
	}
	return u.of.live
}

// Devices is View.Devices.
func (u CellUse) Devices() api.GPUUses {
	if u.of == nil {
		return nil
	}
	return u.of.devices
}

// CellCount returns how many cells there are.
func (v *View) CellCount() int { return v.cells.Len() }

// Used returns what non-terminal and fenced leases take of a cell.
func (v *View) Used(id api.CellID) api.Resources {
	return v.Use(id).Used()
}

// Fenced returns what fenced leases take of a cell; it is part of Used.
func (v *View) Fenced(id api.CellID) api.Resources {
	return v.Use(id).Fenced()
}

// LeaseCount returns how many non-terminal leases are on a cell.
func (v *View) LeaseCount(id api.CellID) int {
	return v.Use(id).Leases()
}

// Free returns what new leases may still take of a cell; never negative.
func (v *View) Free(c *api.CellRecord) api.Resources { return c.Capacity.Sub(v.Used(c.ID)).Floor() }
