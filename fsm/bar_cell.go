package fsm

import "github.com/grafos/grafos/api"

// BarCell is the second phase of a revocation: the leader sends it when the drain has ended.
type BarCell struct {
	Provider api.ProviderID `json:"provider"`
	Cell     api.CellID     `json:"cell_id"`
}

// Kind returns KindBarCell.
func (BarCell) Kind() Kind { return KindBarCell }

// apply refuses with conflict while leases remain, and for a cell whose revocation has not
// begun; an unknown cell with not_found. Barring a barred cell changes nothing.
func (c BarCell) apply(s *State) (Result, *api.Error) {
	if p := checkCellName(c.Provider, c.Cell); p != nil {
		return Result{}, p
	}
	cell, ok := s.Cell(c.Cell)
	if !ok || cell.Provider != c.Provider {
		return Result{}, api.Refuse(api.NotFound, "%s does not exist", cellWhat(c.Provider, c.Cell))
	}
	if cell.Revoked {
		return Result{CellEpoch: cell.Epoch}, nil
	}
	if !cell.Revoking {
		return Result{}, api.Refuse(api.Conflict, "%s is not being revoked", cellWhat(c.Provider, c.Cell))
	}
	if n := s.LeaseCount(c.Cell); n > 0 {
		return Result{}, api.Refuse(api.Conflict, "%s still has %d leases that have not ended", cellWhat(c.Provider, c.Cell), n)
	}
	s.bar(cell, scheduler, cellFact{Provider: c.Provider, Cell: c.Cell, Epoch: cell.Epoch})
	return Result{CellEpoch: cell.Epoch}, nil
}
