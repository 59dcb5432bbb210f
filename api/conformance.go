package api

import (
	"slices"
	"time"
)

// ConformanceTenant is whose leases the conformance suite takes. Nobody else acts for it, and the
// cells that have yet to pass take its leases alone.
const ConformanceTenant TenantID = "grafos-conformance"

// The values of a cell's conformance.
const (
	ConformancePassed = "passed"
	ConformanceFailed = "failed"
	ConformanceNone   = "none" // no suite has run against the agent that the cell has now
)

// ConformanceRecord is the newest result of the conformance suite against a cell.
type ConformanceRecord struct {
	Passed bool `json:"passed"`
	// Version is the agent's, CellEpoch the registration that was tested.
	Version   string `json:"version,omitempty"`
	CellEpoch uint64 `json:"cell_epoch"`
	// Kinds are those that were tested: all that the cell offered.
	Kinds  []LeaseKind `json:"kinds,omitempty"`
	Checks int         `json:"checks"`
	// Failed names the checks that failed, as KIND/NAME; the first few of many.
	Failed []string  `json:"failed,omitempty"`
	TookMs int64     `json:"took_ms"`
	At     time.Time `json:"at,omitzero"`
	Actor  string    `json:"actor,omitempty"` // who had it run
}

// Conformance is what the newest suite says of the agent that the cell has now: it counts for the
// agent's version, through restarts, and for the kinds that were tested.
func (c *CellRecord) Conformance() string {
	r := &c.Suite
	switch {
	case r.At.IsZero(), r.Version != c.Version:
		return ConformanceNone
	case !r.Passed:
		return ConformanceFailed
	}
	for _, k := range LeaseKinds() {
		if c.Capacity.Get(k) > 0 && !slices.Contains(r.Kinds, k) {
			return ConformanceNone
		}
	}
	return ConformancePassed
}

// Unproven reports whether the cell is marked production, itself or as marked says with its provider, and has
// not passed the conformance suite with the agent that it has: it takes no lease but the suite's own.
func (c *CellRecord) Unproven(marked bool) bool {
	return (marked || c.Production) && c.Conformance() != ConformancePassed
}

// ConformanceCheck is one thing that the suite looked at.
type ConformanceCheck struct {
	Name string    `json:"name"`
	Kind LeaseKind `json:"kind"`
	OK   bool      `json:"ok"`
	// Skipped says why it could not be looked at, and was not needed.
	Skipped string `json:"skipped,omitempty"`
	Got     string `json:"got"`
	Want    string `json:"want"`
	TookMs  int64  `json:"took_ms"`
}

// ID is KIND/NAME.
func (c ConformanceCheck) ID() string { return string(c.Kind) + "/" + c.Name }

// ConformanceReport is what a suite ends with. It is recorded, but for the checks that were good.
type ConformanceReport struct {
	Index    uint64             `json:"index"`
	Provider ProviderID         `json:"provider"`
	CellID   CellID             `json:"cell_id"`
	Passed   bool               `json:"passed"`
	Version  string             `json:"version,omitempty"`
	Kinds    []LeaseKind        `json:"kinds"`
	Checks   int                `json:"checks"`
	Failed   []ConformanceCheck `json:"failed"`
	TookMs   int64              `json:"took_ms"`
}

// ConformanceCutShort is the check of no kind that fails, as the last one, when a suite ended before all of its checks
// were made and is recorded for those that failed until then.
const ConformanceCutShort = "to_its_end"

// CutShort reports whether there are checks that were not made.
func (r *ConformanceReport) CutShort() bool {
	return slices.ContainsFunc(r.Failed, func(c ConformanceCheck) bool { return c.Kind == "" && c.Name == ConformanceCutShort })
}

// ConformanceStep is a message of a suite that runs: a check, or, as the last one, the report.
type ConformanceStep struct {
	Check  *ConformanceCheck  `json:"check,omitempty"`
	Report *ConformanceReport `json:"report,omitempty"`
}

// MarkRequest marks a provider or a cell, or takes the mark away.
type MarkRequest struct {
	// Production: the cell takes leases only when it has passed the conformance suite with the agent
	// that it has. A provider's mark is one of all its cells.
	Production bool `json:"production"`
}
