package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func tenantsView(p *ui.Page, tenants []api.TenantUsage, now time.Time) {
	t := ui.Table{Header: []string{"TENANT", "CPU", "MEM", "BLOCK", "NET", "GPU", "LEASES", "AGE"}}
	for _, v := range tenants {
		p.Name(string(v.ID))
		row := []ui.Cell{ui.ID(v.ID)}
		for _, k := range api.LeaseKinds() {
			row = append(row, usedCell(k, v.Used.Get(k), v.Quota.Limit(k)))
		}
		row = append(row, usedCell("", v.Leases, v.Quota.Leases), ui.Age(now, v.CreatedAt))
		t.Row(row...)
	}
	emptyNote(p, len(tenants), "no tenants")
	p.Table(t)
}

// usedCell is what is used of a limit: "2/20", or what is used where there is none.
func usedCell(k api.LeaseKind, used, limit int64) ui.Cell {
	raw := strconv.FormatInt(used, 10)
	if limit == api.Unlimited {
		text := ui.Amount(k, used)
		if k == api.KindCPU || k == api.KindGPU || used == 0 {
			text = ui.Cores(used)
			if k != api.KindCPU {
				text = raw
			}
		}
		return ui.V(text+"/∞", raw+"/unlimited")
	}
	raw += "/" + strconv.FormatInt(limit, 10)
	c := ui.Share(k, used, limit)
	if limit == 0 {
		c = ui.V(raw, raw)
	}
	if used >= limit && used > 0 {
		c = c.In(ui.Warn)
	}
	return c
}

// auditColumns is the width of what stands before a record's data.
const auditColumns = 76

// clip cuts text to a width of a terminal, where it leaves at least a few words.
func clip(text string, width int) string {
	const least = 24
	runes := []rune(text)
	if width = max(width, least); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return text
}

// auditView is one record on one line, the same width each, since they come one by one.
func auditView(p *ui.Page, r api.AuditRecord) {
	p.Name(strconv.FormatUint(r.Sequence, 10))
	when := time.Unix(r.Timestamp, 0).UTC()
	if !p.Terminal {
		p.Table(ui.Table{Rows: [][]ui.Cell{{
			ui.ID(strconv.FormatUint(r.Sequence, 10)), ui.ID(when.Format(time.RFC3339)),
			ui.ID(r.Kind), ui.ID(r.Identity), ui.ID(string(r.Data)), ui.ID(r.Hash),
		}}})
		return
	}
	p.Line(
		ui.Span{Text: fmt.Sprintf("%7d  %s  ", r.Sequence, when.Format(time.DateTime)), Style: ui.Dim},
		ui.Span{Text: pad(r.Kind, 20) + "  "},
		ui.Span{Text: pad(r.Identity, 22) + "  ", Style: ui.Bold},
		ui.Span{Text: clip(string(r.Data), p.Width-auditColumns), Style: ui.Dim},
	)
}

func verdictView(p *ui.Page, v auditVerdict) {
	where := "the chain is whole"
	if v.File != "" {
		where = v.File + " is a whole chain"
	}
	if v.First > 1 {
		where += fmt.Sprintf(" from record %d on", v.First)
	}
	p.Line(
		ui.Span{Text: "✓ ", Style: ui.Good},
		ui.Span{Text: where},
		ui.Span{Text: fmt.Sprintf("  %s, head %d %s", ui.Count(int(v.Records), "record"), v.Head.Sequence, headHash(v.Head)), Style: ui.Dim},
	)
	if !p.Terminal {
		p.Table(ui.Table{Rows: [][]ui.Cell{{ui.ID("ok"), ui.ID(strconv.FormatUint(v.Records, 10)), ui.ID(strconv.FormatUint(v.Head.Sequence, 10)), ui.ID(v.Head.Hash)}}})
	}
}

func headHash(h api.AuditHead) string {
	const shown = 12
	return h.Hash[:min(len(h.Hash), shown)]
}
