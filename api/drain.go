package api

import "time"

// DrainRequest takes a cell out of service for a while: it takes no new work, and when its last lease
// has ended it is drained, or in maintenance.
type DrainRequest struct {
	// GraceMs is how long its leases may still run; 0 leaves them to their own ends.
	GraceMs     int64 `json:"grace_ms,omitempty"`
	Maintenance bool  `json:"maintenance,omitempty"`
}

// CellAnswer answers what changes one cell.
type CellAnswer struct {
	Index uint64 `json:"index"`
	Cell  Cell   `json:"cell"`
}

// DrainWait says what the end of a lease waits for.
type DrainWait string

// What it may wait for.
const (
	// WaitHolder: for its holder, or for its deadline.
	WaitHolder DrainWait = "its_own_end"
	// WaitGrace: its holder was warned, and has until then.
	WaitGrace DrainWait = "grace"
	// WaitCell: the cell tears it down, and says so.
	WaitCell DrainWait = "cell_confirmation"
	// WaitHoldDown: the cell is not heard; then it has stopped the lease by itself.
	WaitHoldDown DrainWait = "hold_down"
)

// DrainingLease is a lease that has not ended on a cell that is to hold none.
type DrainingLease struct {
	LeaseID  LeaseID    `json:"lease_id"`
	RunID    RunID      `json:"run_id,omitempty"`
	Tenant   TenantID   `json:"tenant"`
	Kind     LeaseKind  `json:"kind"`
	Amount   int64      `json:"amount"`
	State    LeaseState `json:"state"`
	WaitsFor DrainWait  `json:"waits_for"`
	// Until is when that is over at the latest.
	Until time.Time `json:"until"`
}

// CellDrain says how far a cell is that is drained, or revoked.
type CellDrain struct {
	Index    uint64          `json:"index"`
	CellID   CellID          `json:"cell_id"`
	Provider ProviderID      `json:"provider"`
	State    CellState       `json:"state"`
	Mode     CellMode        `json:"mode"`
	Done     bool            `json:"done"` // nothing of it is left, and its state is the one that was asked for
	Leases   []DrainingLease `json:"leases"`
	Freshness
}
