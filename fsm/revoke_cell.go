package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
)

// RevokeCell takes a cell out of service for good: first its leases drain, with a grace, then
// BarCell bars it. With Now it is barred at once, since it is compromised.
type RevokeCell struct {
	Actor    string         `json:"actor"`
	Idem     Idem           `json:"idem"`
	Provider api.ProviderID `json:"provider"`
	Cell     api.CellID     `json:"cell_id"`
	GraceMs  int64          `json:"grace_ms,omitempty"`
	Now      bool           `json:"now,omitempty"`
	Reason   string         `json:"reason,omitempty"`
}

// Kind returns KindRevokeCell.
func (RevokeCell) Kind() Kind { return KindRevokeCell }

func (c RevokeCell) idem() Idem { return c.Idem }

// apply refuses an unknown cell with not_found. Revoking a revoked cell changes nothing;
// revoking again one that drains may shorten its grace, never lengthen it.
func (c RevokeCell) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkCellName(c.Provider, c.Cell), checkGrace(c.GraceMs), checkText("reason", c.Reason, maxReason)); p != nil {
		return Result{}, p
	}
	cell, ok := s.Cell(c.Cell)
	if !ok || cell.Provider != c.Provider {
		return Result{}, api.Refuse(api.NotFound, "%s does not exist", cellWhat(c.Provider, c.Cell))
	}
	if cell.Revoked {
		return Result{CellEpoch: cell.Epoch}, nil
	}
	fact := cellFact{Provider: c.Provider, Cell: c.Cell, Epoch: cell.Epoch, GraceMs: c.GraceMs, Leases: s.LeaseCount(c.Cell), Reason: c.Reason}
	grace := c.GraceMs
	if c.Now {
		grace = 0
		s.bar(cell, c.Actor, fact)
	} else {
		force := s.meta.Now + api.Tick(grace)*api.Tick(time.Millisecond)
		if cell.Revoking && cell.ForceAt <= force {
			return Result{CellEpoch: cell.Epoch}, nil
		}
		cell.Revoking, cell.ForceAt = true, force
		s.putCell(cell)
		s.audit(auditCellRevoking, c.Actor, subject{Provider: c.Provider, Cell: c.Cell}, fact)
	}
	res := Result{CellEpoch: cell.Epoch}
	for _, l := range s.LeasesOn(c.Cell) {
		s.revoke(l.ID, grace, ReasonCellRevoked, c.Actor, c.Reason)
		res.Leases = append(res.Leases, l.ID)
	}
	if len(res.Leases) > maxKeptLeases {
		res.Leases = nil // an answer of unbounded size is no answer: the view has them
	}
	return res, nil
}

// maxKeptLeases bounds the lease ids in a result, which may be stored with its key.
const maxKeptLeases = 256

// bar makes a cell's identity worthless for ever.
func (s *State) bar(cell api.CellRecord, actor string, fact cellFact) {
	gone := api.Condition{Code: CodeCellRevoked, Message: "the cell was revoked and never comes back", Since: s.Wall()}
	cell.Revoking, cell.Revoked = false, true
	cell.Healthy, cell.Outbound = gone, gone
	cell.IdentityBound = api.Condition{Code: CodeIdentityRevoked, Message: "the identity of the cell was revoked", Since: s.Wall()}
	s.putCell(cell)
	s.audit(auditCellRevoked, actor, subject{Provider: cell.Provider, Cell: cell.ID}, fact)
}
