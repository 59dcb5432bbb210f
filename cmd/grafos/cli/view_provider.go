package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func admits(r api.RuntimeReadiness) bool { return r == api.ProviderReady || r == api.ProviderDegraded }

func providersView(p *ui.Page, providers []api.ProviderSummary) {
	t := ui.Table{Sparse: true, Header: []string{"PROVIDER", "READINESS", "READY", "CPU FREE", "MEM FREE", "GPU FREE", "LEASES", "ADMITS"}}
	if p.Wide {
		t.Header = append(t.Header, "BLOCK FREE", "NET FREE", "OWNERSHIP")
	}
	for _, v := range providers {
		p.Name(string(v.Provider))
		row := []ui.Cell{
			ui.ID(v.Provider),
			ui.ID(v.RuntimeReadiness).In(readinessStyle(v.RuntimeReadiness)),
			ui.ID(fmt.Sprintf("%d/%d", v.CellsReady, v.CellsTotal)),
			ui.Share(api.KindCPU, v.Free.CPU, v.Capacity.CPU),
			ui.Share(api.KindMem, v.Free.Mem, v.Capacity.Mem),
			ui.Share(api.KindGPU, v.Free.GPU, v.Capacity.GPU),
			ui.ID(strconv.Itoa(v.Leases)),
			yesNo(admits(v.RuntimeReadiness)),
		}
		if p.Wide {
			row = append(row, ui.Share(api.KindBlock, v.Free.Block, v.Capacity.Block),
				ui.Share(api.KindNet, v.Free.Net, v.Capacity.Net), ui.ID(v.Ownership))
		}
		t.Row(row...)
	}
	emptyNote(p, len(providers), "no provider is configured")
	p.Table(t)
}

// emptyNote tells a person that an empty list is the answer.
func emptyNote(p *ui.Page, n int, text string) {
	if n == 0 {
		p.Line(ui.Span{Text: text, Style: ui.Dim})
	}
}

func providerStatusView(p *ui.Page, s api.ProviderStatus, now time.Time) {
	verdict := "refuses new work"
	switch {
	case admits(s.RuntimeReadiness) && slices.ContainsFunc(s.Cells, takesWork):
		verdict = "takes work"
	case admits(s.RuntimeReadiness):
		verdict = "no ready cell takes work"
	}
	p.Line(
		ui.Span{Text: string(s.Provider), Style: ui.Bold},
		ui.Span{Text: "  " + strings.ToUpper(string(s.RuntimeReadiness)), Style: readinessStyle(s.RuntimeReadiness)},
		ui.Span{Text: fmt.Sprintf(" · %d of %d cells ready · %s · %s", s.CellsReady, s.CellsTotal, ui.Count(s.Leases, "lease"), verdict)},
	)
	p.Table(matrix(p, s.Cells, now))
	if p.Terminal {
		notReady(p, s.Cells, now)
		inNoService(p, s.Cells)
	}
}

// matrixWidth is the least width at which each requirement has a column of its own.
const matrixWidth = 116

// matrix is the six requirements of every cell. A narrow terminal has them in one column; a pipe has the
// reasons in its last one, where a terminal has them below.
func matrix(p *ui.Page, cells []api.Cell, now time.Time) ui.Table {
	narrow := p.Terminal && p.Width < matrixWidth && !p.Wide
	t := ui.Table{Header: []string{"CELL", "STATE", "READY", "CODE", "RECORD", "IDENT", "HEALTHY", "INVENT", "OUTB", "CPU FREE", "MEM FREE", "LEASES", "SEEN"}}
	if narrow {
		t.Header = []string{"CELL", "STATE", "READY", "CRIHVO", "CPU FREE", "MEM FREE", "LEASES", "SEEN"}
	}
	for _, c := range cells {
		p.Name(string(c.CellID))
		row := []ui.Cell{ui.ID(c.CellID), ui.ID(c.State).In(cellStyle(c.State)), readyCount(c)}
		row = append(row, marks(c.Readiness, narrow)...)
		row = append(row,
			ui.Share(api.KindCPU, c.Free.CPU, c.Capacity.CPU), ui.Share(api.KindMem, c.Free.Mem, c.Capacity.Mem),
			ui.ID(strconv.Itoa(c.Leases)), ui.Age(now, c.LastSeen))
		if !p.Terminal {
			row = append(row, ui.T(whyNot(c)))
		}
		t.Row(row...)
	}
	return t
}

func readyCount(c api.Cell) ui.Cell {
	all := len(api.Requirements())
	return ui.ID(fmt.Sprintf("%d/%d", all-len(c.Readiness.Unmet()), all))
}

// marks are the requirements as ✓ and ✗, in their order.
func marks(r api.Readiness, together bool) []ui.Cell {
	var cells []ui.Cell
	all := ""
	for _, q := range api.Requirements() {
		c := ui.V("✗", "false").In(ui.Bad)
		if r.Met(q) {
			c = ui.V("✓", "true").In(ui.Good)
		}
		cells, all = append(cells, c), all+c.Text
	}
	if !together {
		return cells
	}
	style := ui.Good
	if !r.Ready() {
		style = ui.Warn
	}
	return []ui.Cell{ui.ID(all).In(style)}
}

// notReady explains every cell that is not ready, each reason with what to do about it.
func notReady(p *ui.Page, cells []api.Cell, now time.Time) {
	first := true
	for _, c := range cells {
		if len(c.Reasons) == 0 {
			continue
		}
		if first {
			p.Gap()
			p.Line(ui.Span{Text: "Not ready", Style: ui.Bold})
			first = false
		}
		for i, r := range c.Reasons {
			name := ""
			if i == 0 {
				name = string(c.CellID)
			}
			p.Line(
				ui.Span{Text: "  " + pad(name, 14) + "  "},
				ui.Span{Text: string(r.Requirement) + "  " + r.Code, Style: ui.Warn},
				ui.Span{Text: "  " + r.Message + sinceText(r.Since, now)},
			)
			// Reasons with one remedy have it once, below the last of them.
			if r.Hint != "" && (i == len(c.Reasons)-1 || c.Reasons[i+1].Hint != r.Hint) {
				p.Line(ui.Span{Text: "  " + pad("", 14) + "  fix: ", Style: ui.Dim}, ui.Span{Text: r.Hint})
			}
		}
	}
}

// inNoService says of every cell that is out of service what ends that.
func inNoService(p *ui.Page, cells []api.Cell) {
	first := true
	for _, c := range cells {
		mode, until := outOfService(c)
		if mode == "" {
			continue
		}
		if first {
			p.Gap()
			p.Line(ui.Span{Text: "Out of service", Style: ui.Bold})
			first = false
		}
		p.Line(
			ui.Span{Text: "  " + pad(string(c.CellID), 14) + "  "},
			ui.Span{Text: mode, Style: ui.Warn},
			ui.Span{Text: "  " + until},
		)
	}
}

func sinceText(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	return ", for " + ui.Age(now, since).Text
}

// revokedView is what revoke-cell ends with.
func revokedView(p *ui.Page, s api.ProviderStatus, id api.CellID, dryRun bool) {
	p.Name(string(id))
	cell := cellOf(&s, id)
	p.Line(
		ui.Span{Text: pad(string(cell.State), 10), Style: cellStyle(cell.State)},
		ui.Span{Text: "  " + string(s.Provider) + "/" + string(id)},
		ui.Span{Text: fmt.Sprintf("  index %d", s.Index), Style: ui.Dim},
	)
	if !dryRun {
		p.Line(ui.Span{Text: "A revoked identity never registers again.", Style: ui.Dim})
	}
	if !p.Terminal {
		p.Table(ui.Table{Rows: [][]ui.Cell{{ui.ID(id), ui.ID(s.Provider), ui.ID(cell.State), ui.ID(strconv.Itoa(cell.Leases))}}})
	}
}
