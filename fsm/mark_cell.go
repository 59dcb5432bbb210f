package fsm

import "github.com/grafos/grafos/api"

// MarkCell marks a cell, or without a cell a provider and so all of its cells, as production, or takes
// the mark away: such a cell takes leases only when it has passed the conformance suite.
type MarkCell struct {
	Actor      string         `json:"actor"`
	Idem       Idem           `json:"idem"`
	Provider   api.ProviderID `json:"provider"`
	Cell       api.CellID     `json:"cell_id,omitempty"`
	Production bool           `json:"production"`
	Reason     string         `json:"reason,omitempty"`
}

// Kind returns KindMarkCell.
func (MarkCell) Kind() Kind { return KindMarkCell }

func (c MarkCell) idem() Idem { return c.Idem }

// apply refuses what does not exist with not_found. A mark that is there already changes nothing.
func (c MarkCell) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkName("provider", string(c.Provider)), checkText("reason", c.Reason, maxReason)); p != nil {
		return Result{}, p
	}
	if c.Cell == "" {
		return c.markProvider(s)
	}
	if p := checkCellName(c.Provider, c.Cell); p != nil {
		return Result{}, p
	}
	cell, ok := s.Cell(c.Cell)
	if !ok || cell.Provider != c.Provider {
		return Result{}, api.Refuse(api.NotFound, "%s does not exist", cellWhat(c.Provider, c.Cell))
	}
	if cell.Production == c.Production {
		return Result{CellEpoch: cell.Epoch}, nil
	}
	cell.Production = c.Production
	s.putCell(cell)
	s.audit(auditCellMarked, c.Actor, subject{Provider: c.Provider, Cell: c.Cell}, c.fact())
	return Result{CellEpoch: cell.Epoch}, nil
}

func (c MarkCell) markProvider(s *State) (Result, *api.Error) {
	provider, ok := s.Provider(c.Provider)
	if !ok {
		return Result{}, api.Refuse(api.NotFound, "provider %s is not configured on this cluster", c.Provider)
	}
	if provider.Production == c.Production {
		return Result{}, nil
	}
	provider.Production = c.Production
	s.putProvider(provider)
	s.audit(auditProviderMarked, c.Actor, subject{Provider: c.Provider}, c.fact())
	return Result{}, nil
}

func (c MarkCell) fact() markFact {
	return markFact{Provider: c.Provider, Cell: c.Cell, Production: c.Production, Reason: c.Reason}
}

// markFact is what the audit chain says of a mark.
type markFact struct {
	Provider   api.ProviderID `json:"provider"`
	Cell       api.CellID     `json:"cell_id,omitempty"`
	Production bool           `json:"production"`
	Reason     string         `json:"reason,omitempty"`
}
