package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// shownCandidates is how many cells a person is shown that would do as well.
const shownCandidates = 10

// planView is a decision with its reasons. A pipe gets one row a cell: cell, score, chosen
// or the vetoes.
func planView(p *ui.Page, plan api.Plan, t tasklet) {
	if plan.CellID != "" {
		p.Name(string(plan.CellID))
	}
	if !p.Terminal {
		p.Table(planRows(plan))
		return
	}
	what := t.name
	if what == "" {
		what = "request"
	}
	p.Line(
		ui.Span{Text: what, Style: ui.Bold},
		ui.Span{Text: "  " + askText(t.resources) + ", for " + ui.Duration(t.ttl)},
		ui.Span{Text: fmt.Sprintf("  against index %d", plan.Index), Style: ui.Dim},
	)
	p.Gap()
	if plan.Decision == api.DecisionAdmit {
		p.Line(
			ui.Span{Text: "admit", Style: ui.Good},
			ui.Span{Text: " on "},
			ui.Span{Text: string(plan.CellID), Style: ui.Bold},
			ui.Span{Text: fmt.Sprintf("  score %d%s", plan.Score, sumText(plan.Components)), Style: ui.Dim},
		)
	}
	eligible, vetoed := parted(plan.Candidates)
	eligibleView(p, eligible, plan.CellID)
	vetoedView(p, vetoed, len(plan.Candidates))
	refusalView(p, plan.Refusal)
}

func askText(r api.Resources) string {
	var parts []string
	for _, k := range api.LeaseKinds() {
		if n := r.Get(k); n > 0 {
			parts = append(parts, string(k)+" "+strings.TrimSuffix(strings.TrimSuffix(ui.Amount(k, n), " cores"), " core"))
		}
	}
	return strings.Join(parts, ", ")
}

// sumText is a score as its sum: " = fit 40 + spread 12", the greatest part first.
func sumText(c api.Components) string {
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(c[b], c[a]), strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = name + " " + strconv.FormatInt(c[name], 10)
	}
	if len(names) == 0 {
		return ""
	}
	return " = " + strings.Join(names, " + ")
}

func parted(candidates []api.Candidate) (eligible, vetoed []api.Candidate) {
	for _, c := range candidates {
		if len(c.Vetoes) > 0 {
			vetoed = append(vetoed, c)
		} else {
			eligible = append(eligible, c)
		}
	}
	slices.SortStableFunc(eligible, func(a, b api.Candidate) int { return cmp.Compare(b.Score, a.Score) })
	return eligible, vetoed
}

func eligibleView(p *ui.Page, eligible []api.Candidate, chosen api.CellID) {
	others := slices.DeleteFunc(slices.Clone(eligible), func(c api.Candidate) bool { return c.CellID == chosen })
	if len(others) == 0 {
		return
	}
	p.Gap()
	p.Line(ui.Span{Text: "Next best", Style: ui.Bold})
	t := ui.Table{Indent: 2}
	for _, c := range others[:min(len(others), shownCandidates)] {
		t.Row(ui.ID(c.CellID), ui.ID(strconv.FormatInt(c.Score, 10)), ui.T(strings.TrimPrefix(sumText(c.Components), " = ")).In(ui.Dim))
	}
	p.Table(t)
	if n := len(others) - shownCandidates; n > 0 {
		p.Line(ui.Span{Text: fmt.Sprintf("  and %d more", n), Style: ui.Dim})
	}
}

// vetoedView lists every veto of every cell that cannot take it, not the first alone.
func vetoedView(p *ui.Page, vetoed []api.Candidate, all int) {
	if len(vetoed) == 0 {
		return
	}
	p.Gap()
	p.Line(ui.Span{Text: fmt.Sprintf("Vetoed %d of %d", len(vetoed), all), Style: ui.Bold})
	t := ui.Table{Indent: 2}
	for _, c := range vetoed {
		cell := ui.ID(c.CellID)
		for _, v := range c.Vetoes {
			t.Row(cell, ui.ID(v.Code).In(ui.Warn), ui.T(v.Message))
			cell = ui.T("")
		}
	}
	p.Table(t)
}

func refusalView(p *ui.Page, r *api.Error) {
	if r == nil {
		return
	}
	p.Gap()
	p.Line(
		ui.Span{Text: "refuse", Style: ui.Bad},
		ui.Span{Text: "  " + r.Detail},
		ui.Span{Text: "  (" + string(r.Kind) + ")", Style: ui.Dim},
	)
	if r.Hint != "" {
		p.Line(ui.Span{Text: "Hint: ", Style: ui.Bold}, ui.Span{Text: r.Hint})
	}
}

func planRows(plan api.Plan) ui.Table {
	var t ui.Table
	for _, c := range plan.Candidates {
		verdict := "eligible"
		if c.CellID == plan.CellID && plan.Decision == api.DecisionAdmit {
			verdict = "chosen"
		}
		vetoes := make([]string, len(c.Vetoes))
		for i, v := range c.Vetoes {
			verdict = "vetoed"
			vetoes[i] = v.Code + ": " + v.Message
		}
		t.Row(ui.ID(c.CellID), ui.ID(strconv.FormatInt(c.Score, 10)), ui.ID(verdict), ui.T(strings.Join(vetoes, "; ")))
	}
	return t
}
