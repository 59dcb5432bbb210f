package fsm

import "github.com/grafos/grafos/api"

// RenewIdentity announces the certificate that a cell is given for the one that it has: the scheduler
// has signed it, and hands it out only when this is committed. The cell is bound to it when it
// registers under it, so that a certificate which never arrives locks nobody out.
type RenewIdentity struct {
	Actor    string         `json:"actor"`
	Provider api.ProviderID `json:"provider"`
	Cell     api.CellID     `json:"cell_id"`
	From     string         `json:"from"` // the SPKI of the key that asks
	To       api.Identity   `json:"to"`
}

// Kind returns KindRenewIdentity.
func (RenewIdentity) Kind() Kind { return KindRenewIdentity }

// apply refuses an unknown cell with not_found, a revoked one and its keys with identity_revoked, and
// a key that the cell is not bound to with identity_mismatch.
func (c RenewIdentity) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkCellName(c.Provider, c.Cell), checkText("from", c.From, maxKeyHex),
		checkText("spki", c.To.SPKI, maxKeyHex), checkText("serial", c.To.Serial, maxKeyHex)); p != nil {
		return Result{}, p
	}
	if c.To.SPKI == "" || c.To.NotAfter <= 0 {
		return Result{}, api.Refuse(api.InvalidArgument, "the new identity has no key, or no end")
	}
	if p := first(s.mayJoin(c.Provider, c.Cell), s.mayHold(c.From), s.mayHold(c.To.SPKI)); p != nil {
		return Result{}, p
	}
	cell, known := s.Cell(c.Cell)
	if !known {
		return Result{}, api.Refuse(api.NotFound, "%s is not registered", cellWhat(c.Provider, c.Cell)).
			WithHint("bootstrap the host anew: grafos cloud bootstrap-cell --provider %s --cell-id %s", c.Provider, c.Cell)
	}
	if p := s.mayBind(&cell, api.Identity{SPKI: c.From}); p != nil {
		return Result{}, p
	}
	s.announce(c.Cell, c.To)
	s.audit(auditCellRenewed, c.Actor, subject{Provider: c.Provider, Cell: c.Cell}, cellFact{
		Provider: c.Provider, Cell: c.Cell, Epoch: cell.Epoch, SPKI: c.To.SPKI,
	})
	return Result{CellEpoch: cell.Epoch}, nil
}
