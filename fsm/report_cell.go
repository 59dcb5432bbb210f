package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// ReportCell commits what a cell says: level-triggered, so that everything in it may have
// been said before. Tokens never enter the log: whoever sends it has taken them out.
type ReportCell struct {
	Cell      api.CellID           `json:"cell_id"`
	Epoch     uint64               `json:"cell_epoch"`
	Inventory *api.InventoryReport `json:"inventory,omitempty"`
	Bound     []api.BoundReport    `json:"bound,omitempty"`
	Ended     []api.EndedReport    `json:"ended,omitempty"`
	Runs      []api.RunReport      `json:"runs,omitempty"`
	// Progress came with LevelProgress.
	Progress []api.LeaseProgress `json:"progress,omitempty"`
}

// Kind returns KindReportCell.
func (ReportCell) Kind() Kind { return KindReportCell }

// LevelProgress is the level that Progress came with.
const LevelProgress Level = 2

// LevelOvercommit is the level that the overcommit of an inventory came with.
const LevelOvercommit Level = 2

// LevelNetUsage is the level that the Net of a run's report came with.
const LevelNetUsage Level = 2

func (c ReportCell) level() Level {
	switch {
	case c.Inventory != nil && len(c.Inventory.Inventory.Overcommit) > 0:
		return max(LevelOvercommit, LevelProgress)
	case len(c.Progress) > 0:
		return LevelProgress
	case slices.ContainsFunc(c.Runs, func(r api.RunReport) bool { return r.Net != nil }):
		return LevelNetUsage
	}
	return 1
}

// apply takes bindings first, then how far announced ends have come, then runs, then ends, so that a run's result is never lost to
// the teardown that follows it, then the inventory, which then sees what is still held. What
// it never will take is listed in Refused and harms nothing else of the report. It refuses the
// whole of another epoch's report with stale_epoch, of an unknown cell with not_found, of a
// revoked one with identity_revoked, and any report with a token in it.
func (c ReportCell) apply(s *State) (Result, *api.Error) {
	if p := c.check(); p != nil {
		return Result{}, p
	}
	cell, ok := s.cells.at(c.Cell)
	switch {
	case !ok:
		return Result{}, api.Refuse(api.NotFound, "cell %s does not exist", c.Cell)
	case cell.Revoked:
		return Result{}, api.Refuse(api.IdentityRevoked, "%s was revoked", cellWhat(cell.Provider, c.Cell))
	case cell.Epoch != c.Epoch:
		return Result{}, api.Refuse(api.StaleEpoch, "%s is in epoch %d, the report is of epoch %d", cellWhat(cell.Provider, c.Cell), cell.Epoch, c.Epoch)
	}
	actor := api.Caller{Role: api.RoleCell, Provider: cell.Provider, Cell: cell.ID}.Actor()
	res := Result{CellEpoch: cell.Epoch}
	refuse := func(lease api.LeaseID, run api.RunID, p *api.Error) {
		if p != nil {
			res.Refused = append(res.Refused, api.ReportRefusal{LeaseID: lease, RunID: run, Kind: p.Kind, Detail: p.Detail})
		}
	}
	for _, b := range c.Bound {
		refuse(b.LeaseID, "", s.bound(c.Cell, b, actor))
	}
	for _, p := range c.Progress {
		refuse(p.LeaseID, "", s.progressed(c.Cell, p, actor))
	}
	for _, r := range c.Runs {
		refuse("", r.RunID, s.ran(c.Cell, r, actor))
	}
	for _, e := range c.Ended {
		refuse(e.LeaseID, "", s.hasEnded(c.Cell, e, actor))
	}
	if c.Inventory != nil {
		s.takeInventory(c.Cell, *c.Inventory, actor)
	}
	return res, nil
}

// takeInventory records what the cell can host. Leases that no longer fit keep what they
// have (I1); no new one gets any of it.
func (s *State) takeInventory(id api.CellID, r api.InventoryReport, actor string) {
	cell, _ := s.Cell(id)
	cell.Inventory, cell.Capacity = r.Inventory, r.Capacity
	cell.Held = beyond(r.Capacity, s.Used(id))
	cell.Reported, cell.ReportedAt = true, s.Wall()
	s.event(eventInventoryReported, actor, subject{Provider: cell.Provider, Cell: id}, r.Capacity)
	s.putCell(cell)
}

// bound records that a binding is open.
func (s *State) bound(cell api.CellID, b api.BoundReport, actor string) *api.Error {
	seen, p := s.reported(cell, b.LeaseID, b.Epoch)
	if p != nil {
		return p
	}
	l := *seen
	if !l.State.Usable() {
		kind := api.LeaseRevoked
		if l.State == api.LeaseExpired || l.Reason == ReasonExpired {
			kind = api.LeaseExpiredKind
		}
		return api.Refuse(kind, "lease %s is %s: %s", l.ID, l.State, l.Reason)
	}
	if b.Generation < 1 || b.Generation > l.Generation {
		return api.Refuse(api.StaleGeneration, "lease %s is in generation %d, not in %d", l.ID, l.Generation, b.Generation)
	}
	if b.Generation <= l.BoundGeneration && (b.Coordinate == "" || b.Coordinate == l.Coordinate) {
		return nil
	}
	l.BoundGeneration = max(l.BoundGeneration, b.Generation)
	if l.BoundAt.IsZero() {
		l.BoundAt = s.Wall()
	}
	if b.Coordinate != "" {
		l.Coordinate = b.Coordinate
	}
	s.putLease(&l)
	fact := s.leaseFact(&l)
	s.eventLease(eventLeaseBound, actor, &l, &fact)
	return nil
}

// reported finds the lease that an item of a report is about, to be read at once.
func (s *State) reported(cell api.CellID, id api.LeaseID, epoch uint64) (*api.Lease, *api.Error) {
	l, ok := s.lookAt(id, epoch)
	if !ok || l.CellID != cell {
		return nil, api.Refuse(api.NotFound, "cell %s has no lease %s", cell, id)
	}
	if l.Epoch != epoch {
		return nil, api.Refuse(api.StaleEpoch, "lease %s has epoch %d, not %d", id, l.Epoch, epoch)
	}
	return l, nil
}

// hasEnded records how a lease ended on its cell. One that nobody had ended yet is walked
// through the state that says why. A terminal lease stays as it is.
func (s *State) hasEnded(cell api.CellID, e api.EndedReport, actor string) *api.Error {
	seen, p := s.reported(cell, e.LeaseID, e.Epoch)
	if p != nil {
		return p
	}
	l := *seen
	if e.State != api.LeaseTornDown && e.State != api.LeaseFenced {
		return api.Refuse(api.InvalidArgument, "a cell says that a lease is torndown or fenced, not what it said of %s", l.ID)
	}
	switch {
	case l.State == api.LeaseCheckpoint: // what it had to save is saved: nothing is forced
	case l.State.Usable():
		if l.RunID == "" {
			// It is at its end with the next step: nobody looks at the tables in between. A run's
			// lease takes others with it.
			s.passing = true
		}
		reason := endReason(&l, e)
		if reason == ReasonExpired {
			s.expire(&l, actor)
		} else {
			s.forceDown(l.ID, reason, actor, "")
			l, _ = s.Lease(l.ID)
		}
	}
	if l.State.Terminal() {
		return nil
	}
	comment := e.Reason
	if comment == l.Reason {
		comment = ""
	}
	s.end(&l, e.State, ReasonReleased, actor, comment)
	return nil
}

// endReason returns why a usable lease ended on its cell. A run's lease that its cell gave
// up without a result is not released by anybody: the run was lost.
func endReason(l *api.Lease, e api.EndedReport) string {
	if e.Reason != "" && e.Reason != ReasonReleased {
		return e.Reason
	}
	if l.RunID != "" {
		return ReasonLost
	}
	return ReasonReleased
}
