package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
)

// SetCellMode takes a cell out of service for a while, or back into it. Operators send it to drain a
// cell and to have it return; the leader, when the last lease has ended and when the cell has come back.
type SetCellMode struct {
	Actor    string         `json:"actor"`
	Idem     Idem           `json:"idem"`
	Provider api.ProviderID `json:"provider"`
	Cell     api.CellID     `json:"cell_id"`
	Mode     api.CellMode   `json:"mode"`
	// DrainTo is for draining: drained or maintenance. GraceMs warns its leases and forces them down
	// when it is over; 0 leaves them to their own ends.
	DrainTo api.CellMode `json:"drain_to,omitempty"`
	GraceMs int64        `json:"grace_ms,omitempty"`
	Reason  string       `json:"reason,omitempty"`
}

// Kind returns KindSetCellMode.
func (SetCellMode) Kind() Kind { return KindSetCellMode }

func (c SetCellMode) idem() Idem { return c.Idem }

// apply refuses an unknown cell with not_found, one that is revoked or being revoked with conflict, a
// step that the table of modes does not have with conflict, and so a cell that still has leases as
// drained. The mode that a cell is in already changes nothing, but draining again may shorten the
// grace and change what follows.
func (c SetCellMode) apply(s *State) (Result, *api.Error) {
	if p := c.check(); p != nil {
		return Result{}, p
	}
	cell, ok := s.Cell(c.Cell)
	if !ok || cell.Provider != c.Provider {
		return Result{}, api.Refuse(api.NotFound, "%s does not exist", cellWhat(c.Provider, c.Cell))
	}
	if cell.Revoked || cell.Revoking {
		return Result{}, api.Refuse(api.Conflict, "%s is revoked, or is being revoked: its mode does not matter any more", cellWhat(c.Provider, c.Cell))
	}
	if c.Mode == api.ModeDraining {
		return c.drain(s, cell)
	}
	if cell.Mode == c.Mode || c.Mode == api.ModeAccepting && cell.Mode.Takes() {
		return Result{CellEpoch: cell.Epoch}, nil
	}
	if !cell.Mode.CanBecome(c.Mode) {
		return Result{}, c.noStep(cell)
	}
	if n := s.LeaseCount(c.Cell); n > 0 && (c.Mode == api.ModeDrained || c.Mode == api.ModeMaintenance) {
		return Result{}, api.Refuse(api.Conflict, "%s still has %d leases that have not ended", cellWhat(c.Provider, c.Cell), n)
	}
	c.enter(s, &cell)
	cell.DrainTo, cell.ForceAt = "", 0
	s.putCell(cell)
	c.say(s, cell)
	return Result{CellEpoch: cell.Epoch}, nil
}

// drain closes the cell to new leases, and warns those that it has, if they get a grace.
func (c SetCellMode) drain(s *State, cell api.CellRecord) (Result, *api.Error) {
	to := c.DrainTo
	if to == "" {
		to = api.ModeDrained
	}
	switch cell.Mode {
	case to:
		return Result{CellEpoch: cell.Epoch}, nil
	case api.ModeDrained, api.ModeMaintenance:
		c.Mode, c.DrainTo, c.GraceMs = to, "", 0 // it holds no lease
		return c.apply(s)
	case api.ModeAccepting, api.ModeDraining, api.ModeReturning:
	}
	again := cell.Mode == api.ModeDraining
	force := s.meta.Now + api.Tick(c.GraceMs)*api.Tick(time.Millisecond)
	shorter := c.GraceMs > 0 && (cell.ForceAt == 0 || force < cell.ForceAt)
	if again && !shorter && cell.DrainTo == to {
		return Result{CellEpoch: cell.Epoch}, nil
	}
	if !again {
		cell.ForceAt = 0
		c.enter(s, &cell)
	}
	cell.DrainTo = to
	if shorter {
		cell.ForceAt = force
	}
	s.putCell(cell)
	c.say(s, cell)
	res := Result{CellEpoch: cell.Epoch}
	if c.GraceMs == 0 {
		return res, nil
	}
	for _, l := range s.LeasesOn(c.Cell) {
		s.revoke(l.ID, c.GraceMs, ReasonCellDrained, c.Actor, c.Reason)
		res.Leases = append(res.Leases, l.ID)
	}
	if len(res.Leases) > maxKeptLeases {
		res.Leases = nil
	}
	return res, nil
}

func (c SetCellMode) enter(s *State, cell *api.CellRecord) {
	cell.Mode, cell.ModeAt, cell.ModeReason = c.Mode, s.meta.Now, c.Reason
}

func (c SetCellMode) say(s *State, cell api.CellRecord) {
	kind := ""
	switch cell.Mode {
	case api.ModeDraining:
		kind = auditCellDraining
	case api.ModeDrained:
		kind = auditCellDrained
	case api.ModeMaintenance:
		kind = auditCellMaintenance
	case api.ModeReturning:
		kind = auditCellReturning
	case api.ModeAccepting:
		kind = auditCellAccepting
	}
	s.audit(kind, c.Actor, subject{Provider: cell.Provider, Cell: cell.ID}, cellFact{
		Provider: cell.Provider, Cell: cell.ID, Epoch: cell.Epoch, GraceMs: c.GraceMs, Leases: s.LeaseCount(cell.ID), Reason: c.Reason,
	})
}

func (c SetCellMode) noStep(cell api.CellRecord) *api.Error {
	e := api.Refuse(api.Conflict, "%s is %s: it cannot become %s", cellWhat(c.Provider, c.Cell), cell.Mode, c.Mode)
	if cell.Mode.Takes() {
		return e.WithHint("drain it first: grafos fabric drain %s", c.Cell)
	}
	return e.WithHint("have it return: grafos fabric undrain %s", c.Cell)
}

func (c SetCellMode) check() *api.Error {
	if p := first(checkText("actor", c.Actor, maxActor), checkCellName(c.Provider, c.Cell), checkGrace(c.GraceMs), checkText("reason", c.Reason, maxReason)); p != nil {
		return p
	}
	switch c.Mode {
	case api.ModeAccepting, api.ModeDraining, api.ModeDrained, api.ModeMaintenance, api.ModeReturning:
	default:
		return api.Refuse(api.InvalidArgument, "the mode is not one of accepting, draining, drained, maintenance, returning")
	}
	if c.DrainTo != "" && (c.Mode != api.ModeDraining || c.DrainTo != api.ModeDrained && c.DrainTo != api.ModeMaintenance) {
		return api.Refuse(api.InvalidArgument, "a cell that drains becomes drained or in maintenance, no other has a mode that follows")
	}
	if c.GraceMs > 0 && c.Mode != api.ModeDraining {
		return api.Refuse(api.InvalidArgument, "only draining has a grace")
	}
	return nil
}
