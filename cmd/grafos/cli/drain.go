package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// followWait is how long a command that follows something lets one read block.
const followWait = 20 * time.Second

// drain follows how the leases of a cell come down.
type drain struct {
	*session
	cell  api.CellID
	seen  map[api.LeaseID]api.DrainingLease
	since time.Time
	ended []drainedLease
}

// drainedLease is a lease that ended while somebody looked.
type drainedLease struct {
	LeaseID api.LeaseID    `json:"lease_id"`
	State   api.LeaseState `json:"state"`
	Reason  string         `json:"reason,omitempty"`
	AfterMs int64          `json:"after_ms"`
}

func newDrain(s *session, cell api.CellID) *drain {
	return &drain{session: s, cell: cell, seen: map[api.LeaseID]api.DrainingLease{}, since: s.Now()}
}

// follow returns when no lease is left and the cell is what was asked for. A person is told what each
// lease waits for, also in a pipe; with -o jsonl a program is, one line a change.
func (d *drain) follow(ctx context.Context) error {
	o := d.Read()
	for {
		state, err := d.CellDrain(ctx, d.cell, o)
		if err != nil {
			return err
		}
		if err := d.show(ctx, state); err != nil || state.Done {
			return err
		}
		o = d.Read()
		o.AfterIndex, o.Wait = state.Index, followWait
		if !ui.Sleep(ctx, followPace) {
			return ctx.Err()
		}
	}
}

// show tells what changed.
func (d *drain) show(ctx context.Context, state *api.CellDrain) error {
	changed := false
	gone := len(d.seen)
	for _, l := range state.Leases {
		before, known := d.seen[l.LeaseID]
		if known {
			gone--
		}
		if known && before.State == l.State && before.WaitsFor == l.WaitsFor {
			continue
		}
		d.seen[l.LeaseID], changed = l, true
		d.line(l.State, l.LeaseID, l.Kind, l.Amount, d.waiting(l))
	}
	if gone > 0 {
		changed = true
		if err := d.farewell(ctx, state); err != nil {
			return err
		}
	}
	if changed && d.Output.Format == ui.FormatJSONL {
		return d.Emit(state, func(*ui.Page) {})
	}
	return nil
}

// farewell says how those ended that are not there any more.
func (d *drain) farewell(ctx context.Context, state *api.CellDrain) error {
	list, err := d.allLeases(ctx, api.LeaseFilter{Cell: d.cell, All: true}, d.Read())
	if err != nil {
		return err
	}
	left := map[api.LeaseID]bool{}
	for _, l := range state.Leases {
		left[l.LeaseID] = true
	}
	for _, l := range list.Leases {
		if _, known := d.seen[l.ID]; !known || left[l.ID] || !l.State.Terminal() {
			continue
		}
		delete(d.seen, l.ID)
		d.ended = append(d.ended, drainedLease{LeaseID: l.ID, State: l.State, Reason: l.Reason, AfterMs: d.Now().Sub(d.since).Milliseconds()})
		d.line(l.State, l.ID, l.Kind, l.Amount, "")
	}
	return nil
}

// waiting says what a lease waits for.
func (d *drain) waiting(l api.DrainingLease) string {
	left := ui.Duration(max(l.Until.Sub(d.Now()), 0))
	switch l.WaitsFor {
	case api.WaitHolder:
		return "its holder has it for " + left
	case api.WaitGrace:
		return "its holder was warned and has " + left
	case api.WaitCell:
		return "the cell tears it down"
	case api.WaitHoldDown:
		return "the cell is not heard: it must have stopped it in " + left
	}
	return string(l.WaitsFor)
}

// line is one line for a person, on standard error.
func (d *drain) line(state api.LeaseState, id api.LeaseID, kind api.LeaseKind, amount int64, waits string) {
	what := fmt.Sprintf("lease %s  %s %s", id, kind, ui.Amount(kind, amount))
	if waits != "" {
		what += "  " + waits
	}
	took := "  " + ui.Duration(d.Now().Sub(d.since))
	if !d.ErrTerminal {
		d.Note("%-16s%s%s", state, what, took)
		return
	}
	d.Progress(ui.Span{Text: fmt.Sprintf("%-16s", state), Style: leaseStyle(state)}, ui.Span{Text: what}, ui.Span{Text: took, Style: ui.Dim})
}
