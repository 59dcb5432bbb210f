package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The types of the events about a lease; the data of each is a LeaseEvent. All but the ones that are
// marked are records of the audit chain too.
const (
	EventLeaseGranted      = "lease_granted"
	EventLeaseBound        = "lease_bound" // no record: the cell opened the binding
	EventLeaseRenewed      = "lease_renewed"
	EventLeaseRevoked      = "lease_revoked"             // at once, or announced: grace_ms says so
	EventLeaseGrace        = "lease_grace_running"       // no record: its holder was told of the announced end
	EventLeaseCheckpoint   = "lease_checkpoint_reported" // no record: its holder has saved what it had to
	EventLeaseReleased     = "lease_released"            // its owner freed it, or its run ended
	EventLeaseExpired      = "lease_expired"
	EventLeaseForced       = "lease_forced_teardown" // no record: its teardown was ordered for another reason
	EventLeaseTornDown     = "lease_torndown"
	EventLeaseFenced       = "lease_fenced"
	EventLeaseFailedClosed = "lease_failed_closed"
	EventLeaseUnfenced     = "lease_unfenced"
)

// LeaseEventTypes lists the types of the events about a lease.
func LeaseEventTypes() []string {
	return []string{
		EventLeaseGranted, EventLeaseBound, EventLeaseRenewed, EventLeaseRevoked, EventLeaseGrace, EventLeaseCheckpoint, EventLeaseReleased,
		EventLeaseExpired, EventLeaseForced, EventLeaseTornDown, EventLeaseFenced, EventLeaseFailedClosed, EventLeaseUnfenced,
	}
}

// LeaseEvent is what an event about a lease, and its record in the audit chain, say: enough to meter
// the lease by.
type LeaseEvent struct {
	Lease      LeaseID    `json:"lease_id"`
	Run        RunID      `json:"run_id,omitempty"`
	Tenant     TenantID   `json:"tenant"`
	Provider   ProviderID `json:"provider"`
	Cell       CellID     `json:"cell_id"`
	Kind       LeaseKind  `json:"kind"`
	Amount     int64      `json:"amount"`
	State      LeaseState `json:"state"`
	Generation uint64     `json:"generation"`
	Epoch      uint64     `json:"epoch"`
	Priority   Priority   `json:"priority"`
	TTLMs      int64      `json:"ttl_ms"`
	Reason     string     `json:"reason,omitempty"`
	Comment    string     `json:"comment,omitempty"` // of whoever asked
	GraceMs    int64      `json:"grace_ms,omitempty"`
	Holder     string     `json:"holder,omitempty"` // whose key the tokens are for
	Terms      *Terms     `json:"terms,omitempty"`  // of a grant: what was asked for beyond the amount
	Granted    Tick       `json:"granted_tick"`
	At         Tick       `json:"at_tick"`
}

// Lease returns what an event about a lease says; it refuses an event that is about something else.
func (e Event) Lease() (LeaseEvent, error) {
	var l LeaseEvent
	if !slices.Contains(LeaseEventTypes(), e.Type) {
		return l, Refuse(InvalidArgument, "event %s at %s is not about a lease: those are %s", clip(e.Type, 40), e.Cursor, strings.Join(LeaseEventTypes(), ", "))
	}
	if err := json.Unmarshal(e.Data, &l); err != nil {
		return l, fmt.Errorf("read event %s at %s: %w", e.Type, e.Cursor, err)
	}
	return l, nil
}
