package control

import (
	"context"
	"iter"
	"strings"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// eventPage bounds the events read from the ring at once.
const eventPage = 256

// Events yields the changes of the state from a cursor on. A reader that fell behind what
// is held gets a gap, never silence.
func (c *Control) Events(ctx context.Context, f api.EventFilter) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		tenant, err := narrow(ctx, f.Tenant)
		if err != nil {
			yield(api.Event{}, err)
			return
		}
		f.Tenant = tenant
		at, err := c.begin(f.From)
		if err != nil {
			yield(api.Event{}, err)
			return
		}
		told := false // a gap whose end is not known yet is told once
		for ctx.Err() == nil {
			changed := c.cfg.Machine.Changed(fsm.TopicEvents)
			events, gap := c.cfg.Machine.EventsAfter(at, eventPage)
			if gap && f.From != "" && !told && !yield(gapBefore(at, events), nil) {
				return
			}
			told = gap && len(events) == 0
			f.From = "resumed" // "" means everything still held: its beginning is no gap, later ones are
			for _, e := range events {
				at = e.Cursor
				if wanted(f, e) && !yield(e, nil) {
					return
				}
			}
			if len(events) > 0 {
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

func (c *Control) begin(from string) (api.Cursor, error) {
	switch from {
	case "":
		return api.Cursor{}, nil
	case "now":
		return api.Cursor{Index: c.cfg.Machine.View().Index(), Sub: 1<<32 - 1}, nil
	}
	return api.ParseCursor(from)
}

// gapBefore says that events are missing between at and the first one that is held.
func gapBefore(at api.Cursor, events []api.Event) api.Event {
	gap := api.Event{Type: api.EventGap, Cursor: at}
	if len(events) > 0 {
		gap.Cursor, gap.Time = events[0].Cursor, events[0].Time
		if gap.Cursor.Sub > 0 {
			gap.Cursor.Sub--
		} else {
			gap.Cursor = api.Cursor{Index: gap.Cursor.Index - 1, Sub: 1<<32 - 1}
		}
	}
	return gap
}

func wanted(f api.EventFilter, e api.Event) bool {
	if f.Tenant != "" && e.Tenant != f.Tenant || f.Provider != "" && e.Provider != f.Provider {
		return false
	}
	if len(f.Types) == 0 {
		return true
	}
	for _, t := range f.Types {
		if strings.HasPrefix(e.Type, t) {
			return true
		}
	}
	return false
}
