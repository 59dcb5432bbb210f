package api

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Cursor is a place in the event stream: a Raft index and a place within its entry. It
// stays valid across fail-over and on every scheduler.
type Cursor struct {
	Index uint64
	Sub   uint32
}

// String returns "index.sub".
func (c Cursor) String() string { return fmt.Sprintf("%d.%d", c.Index, c.Sub) }

// Before reports whether c comes before d.
func (c Cursor) Before(d Cursor) bool {
	return c.Index < d.Index || c.Index == d.Index && c.Sub < d.Sub
}

// ParseCursor reads "index.sub" or "index", which means after all of that entry.
func ParseCursor(s string) (Cursor, error) {
	head, tail, found := strings.Cut(s, ".")
	index, err := strconv.ParseUint(head, 10, 64)
	if err != nil {
		return Cursor{}, Refuse(InvalidArgument, "cursor %q is not index.sub", clip(s, 40))
	}
	if !found {
		return Cursor{Index: index, Sub: 1<<32 - 1}, nil
	}
	sub, err := strconv.ParseUint(tail, 10, 32)
	if err != nil {
		return Cursor{}, Refuse(InvalidArgument, "cursor %q is not index.sub", clip(s, 40))
	}
	return Cursor{Index: index, Sub: uint32(sub)}, nil
}

// MarshalText prints the cursor as String does.
func (c Cursor) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (c *Cursor) UnmarshalText(b []byte) error {
	parsed, err := ParseCursor(string(b))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}

// Event is one change of the state.
type Event struct {
	Cursor   Cursor          `json:"cursor"`
	Type     string          `json:"type"` // lease_granted, cell_ready, ...; the audit kinds and a few more
	Time     time.Time       `json:"time"`
	Identity string          `json:"identity,omitempty"`
	Provider ProviderID      `json:"provider,omitempty"`
	CellID   CellID          `json:"cell_id,omitempty"`
	LeaseID  LeaseID         `json:"lease_id,omitempty"`
	RunID    RunID           `json:"run_id,omitempty"`
	Tenant   TenantID        `json:"tenant,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
}

// EventGap is the type of the event that says that a reader fell behind: what lies between
// its cursor and the event's own is no longer held.
const EventGap = "gap"

// EventFilter says where a stream begins and what it leaves out.
type EventFilter struct {
	// From is a cursor to continue after, "now", or "" for everything still held.
	From     string
	Types    []string // prefixes; none is all
	Provider ProviderID
	Tenant   TenantID
}
