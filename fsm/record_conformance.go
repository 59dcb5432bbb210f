package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// RecordConformance records what the conformance suite found at a cell.
type RecordConformance struct {
	Actor     string          `json:"actor"`
	Provider  api.ProviderID  `json:"provider"`
	Cell      api.CellID      `json:"cell_id"`
	CellEpoch uint64          `json:"cell_epoch"`
	Passed    bool            `json:"passed"`
	Kinds     []api.LeaseKind `json:"kinds"`
	Checks    int             `json:"checks"`
	// Failed names the checks that failed, the first few of many.
	Failed []string `json:"failed,omitempty"`
	TookMs int64    `json:"took_ms"`
	Reason string   `json:"reason,omitempty"`
}

// Bounds of what is recorded of a suite.
const (
	MaxFailedChecks = 32
	maxCheckName    = 80
)

// Kind returns KindRecordConformance.
func (RecordConformance) Kind() Kind { return KindRecordConformance }

// apply refuses an unknown cell with not_found, one that is revoked, and one whose agent was started
// anew meanwhile with conflict: the result is of another.
func (c RecordConformance) apply(s *State) (Result, *api.Error) {
	if p := c.check(); p != nil {
		return Result{}, p
	}
	cell, ok := s.Cell(c.Cell)
	if !ok || cell.Provider != c.Provider {
		return Result{}, api.Refuse(api.NotFound, "%s does not exist", cellWhat(c.Provider, c.Cell))
	}
	if cell.Revoked || cell.Epoch != c.CellEpoch {
		return Result{}, api.Refuse(api.Conflict, "%s was revoked or its agent was started anew while the suite ran: the result is of cell epoch %d, the cell is in %d",
			cellWhat(c.Provider, c.Cell), c.CellEpoch, cell.Epoch).WithHint("run it again: grafos conformance run %s %s", c.Provider, c.Cell)
	}
	cell.Suite = api.ConformanceRecord{
		Passed: c.Passed, Version: cell.Version, CellEpoch: c.CellEpoch, Kinds: c.Kinds, Checks: c.Checks, Failed: c.Failed,
		TookMs: c.TookMs, At: s.Wall(), Actor: c.Actor,
	}
	s.putCell(cell)
	s.audit(auditCellConformance, c.Actor, subject{Provider: c.Provider, Cell: c.Cell}, conformanceFact{
		Provider: c.Provider, Cell: c.Cell, Epoch: c.CellEpoch, Version: cell.Version, Passed: c.Passed, Kinds: c.Kinds, Checks: c.Checks, Failed: c.Failed,
		Reason: c.Reason,
	})
	return Result{CellEpoch: cell.Epoch}, nil
}

func (c RecordConformance) check() *api.Error {
	if p := first(checkText("actor", c.Actor, maxActor), checkCellName(c.Provider, c.Cell), checkText("reason", c.Reason, maxReason)); p != nil {
		return p
	}
	if len(c.Failed) > MaxFailedChecks || c.Passed != (len(c.Failed) == 0) || c.Checks < len(c.Failed) || c.TookMs < 0 {
		return api.Refuse(api.InvalidArgument, "the result of a suite names %d failed of %d checks, and says passed %t", len(c.Failed), c.Checks, c.Passed)
	}
	for _, name := range c.Failed {
		if p := checkText("check", name, maxCheckName); p != nil {
			return p
		}
	}
	for _, k := range c.Kinds {
		if !slices.Contains(api.LeaseKinds(), k) {
			return api.Refuse(api.InvalidArgument, "the result of a suite names a kind that does not exist")
		}
	}
	return nil
}

// conformanceFact is what the audit chain says of a suite.
type conformanceFact struct {
	Provider api.ProviderID  `json:"provider"`
	Cell     api.CellID      `json:"cell_id"`
	Epoch    uint64          `json:"cell_epoch"`
	Version  string          `json:"version,omitempty"`
	Passed   bool            `json:"passed"`
	Kinds    []api.LeaseKind `json:"kinds,omitempty"`
	Checks   int             `json:"checks"`
	Failed   []string        `json:"failed,omitempty"`
	Reason   string          `json:"reason,omitempty"`
}
