package cli

import (
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// eventView is one event on one line, the same width each, since they come one by one.
func eventView(p *ui.Page, e api.Event) {
	p.Name(e.Cursor.String())
	if !p.Terminal {
		p.Table(ui.Table{Rows: [][]ui.Cell{{
			ui.ID(e.Cursor.String()), ui.ID(e.Time.UTC().Format(time.RFC3339Nano)), ui.ID(e.Type), ui.ID(e.Identity),
			ui.ID(e.Provider), ui.ID(e.CellID), ui.ID(e.LeaseID), ui.ID(e.RunID), ui.ID(e.Tenant), ui.ID(string(e.Data)),
		}}})
		return
	}
	p.Line(
		ui.Span{Text: pad(e.Time.UTC().Format("15:04:05.000"), 12) + "  ", Style: ui.Dim},
		ui.Span{Text: pad(e.Type, 18) + "  ", Style: eventStyle(e.Type)},
		ui.Span{Text: strings.Join(subjects(e), "  ")},
		ui.Span{Text: byText(e.Identity), Style: ui.Dim},
	)
}

// subjects are what an event is about, each with its noun.
func subjects(e api.Event) []string {
	var out []string
	add := func(noun, id string) {
		if id != "" {
			out = append(out, noun+" "+id)
		}
	}
	add("lease", string(e.LeaseID))
	add("run", string(e.RunID))
	add("cell", string(e.CellID))
	if e.CellID == "" {
		add("provider", string(e.Provider))
	}
	add("tenant", string(e.Tenant))
	return out
}

func byText(identity string) string {
	if identity == "" {
		return ""
	}
	return "  by " + identity
}

func eventStyle(kind string) ui.Style {
	for _, end := range []string{"fenced", "failed_closed", "unready", "refused", "revoked", "expired", "gap"} {
		if strings.HasSuffix(kind, end) {
			return ui.Warn
		}
	}
	return ui.Plain
}
