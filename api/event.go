package api

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
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

// EndOf is the cursor behind everything that the entry at index made.
func EndOf(index uint64) Cursor { return Cursor{Index: index, Sub: math.MaxUint32} }

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
		return EndOf(index), nil
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

// The types of the events that tell of the stream itself. They are no changes of the state.
const (
	// EventGap says that a reader fell behind: what lies between the cursor that it was at and
	// the event's own is no longer held. Its data is a Gap.
	EventGap = "gap"
	// EventBookmark says that the stream has come to the event's cursor: whatever matched up
	// to there was sent. It is sent to who asks for it.
	EventBookmark = "bookmark"
	// EventResumed says that a client's stream broke and goes on, behind the event's cursor, at
	// another connection: nothing is missing and nothing comes twice. It is made by the client,
	// for who asks for bookmarks. Its data is a Resumed.
	EventResumed = "resumed"
)

// Gap is the data of an EventGap.
type Gap struct {
	// After is the cursor that the reader was at. What is lost lies between it and the
	// cursor of the event.
	After  Cursor `json:"after"`
	Reason string `json:"reason"`
}

// The reasons of a gap.
const (
	// GapDropped: newer events took the place of those that are missing, or this scheduler
	// has its state from a snapshot and never had them.
	GapDropped = "dropped"
	// GapAhead: the cluster has not come to the reader's cursor. It was restored to an older
	// state, or the cursor is another cluster's. The stream goes on from now.
	GapAhead = "ahead"
)

// Resumed is the data of an EventResumed.
type Resumed struct {
	Scheduler string `json:"scheduler"` // the address of the new connection
	Because   string `json:"because"`   // why the one before ended
}

// Where a stream may begin, beside a cursor.
const (
	FromNow    = "now"    // behind every change that was acknowledged before the question
	FromOldest = "oldest" // with the oldest event that is still held; the same as ""
)

// CheckFrom refuses what is no place to begin a stream at.
func CheckFrom(from string) error {
	switch from {
	case "", FromOldest, FromNow:
		return nil
	}
	if _, err := ParseCursor(from); err != nil {
		return Refuse(InvalidArgument, "from %q is not now, oldest or a cursor index.sub", clip(from, 40))
	}
	return nil
}

// EventFilter says where a stream begins and what it leaves out.
type EventFilter struct {
	// From is a cursor to continue after, FromNow or FromOldest; "" is FromOldest.
	From     string
	Types    []string // prefixes; none is all
	Provider ProviderID
	Tenant   TenantID
	// Bookmarks asks for events that say how far the stream has come: one when it has caught
	// up for the first time, then one every few seconds. A reader whose filter takes little
	// would fall behind without one when it continues elsewhere.
	Bookmarks bool
}

// Takes reports whether e is one of the changes that the filter asks for.
func (f EventFilter) Takes(e Event) bool {
	if f.Tenant != "" && e.Tenant != f.Tenant || f.Provider != "" && e.Provider != f.Provider {
		return false
	}
	return len(f.Types) == 0 || slices.ContainsFunc(f.Types, func(t string) bool { return strings.HasPrefix(e.Type, t) })
}
