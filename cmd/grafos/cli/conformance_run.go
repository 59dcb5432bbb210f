package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) conformanceRun() *cobra.Command {
	var write writeFlags
	cmd := &cobra.Command{
		Use:   "run PROVIDER CELL",
		Short: "Lease, use, renew, revoke and attack what a cell offers, and record the result",
		Long: `Run the conformance suite against a ready cell, and record the result. Every kind that the
cell offers is leased in a small amount, used over its data plane and through a scheduler,
renewed, left to expire and revoked, and the cell is shown tokens that it has to refuse: of an
older generation, expired, foreign, changed, narrowed too far, and without their holder's
proof. What else runs on the cell is not touched. It takes some seconds; Ctrl-C stops it, and
nothing is recorded then.

Exit 1 when a check failed. Cells that are marked production take leases only when they have
passed: grafos fabric mark, grafos provider mark.`,
		Example: "  grafos conformance run local local-1\n  grafos conformance run local local-1 --json --jq 'select(.check.ok == false)'",
		Args:    exactly("PROVIDER", "CELL"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return conform(ctx, s, args[0], args[1], &write)
		}),
	}
	write.add(cmd)
	return cmd
}

func conform(ctx context.Context, s *session, provider, given string, write *writeFlags) error {
	status, err := s.ProviderStatus(ctx, api.ProviderID(provider), s.Read())
	if err != nil {
		return err
	}
	cell, err := findCell(status, given)
	if err != nil {
		return err
	}
	for step, err := range s.ConformCell(ctx, status.Provider, cell.CellID, write.options()) {
		if err != nil {
			return stoppedSuite(ctx, err)
		}
		if step.Report != nil && write.dryRun {
			write.dry(s.UI)
			return s.Emit(step, func(p *ui.Page) { p.Name(string(cell.CellID)) })
		}
		if err := s.Emit(step, func(p *ui.Page) { stepView(p, step) }); err != nil {
			return err
		}
		if step.Report != nil && !step.Report.Passed {
			return ui.Silent(ui.ExitFailure)
		}
	}
	return nil
}

// stoppedSuite says what a suite leaves that was stopped.
func stoppedSuite(ctx context.Context, err error) error {
	if ctx.Err() == nil || !ui.Ended(ctx, err) && !errors.Is(err, ctx.Err()) {
		return err
	}
	return api.Refuse(api.OutcomeUnknown, "stopped waiting: the suite is stopped too, and its leases are given back; nothing is recorded")
}

// stepView is one line of a suite: they come one by one.
func stepView(p *ui.Page, step api.ConformanceStep) {
	if r := step.Report; r != nil {
		p.Name(string(r.CellID))
		reportView(p, r)
		return
	}
	c := step.Check
	word, style := "ok", ui.Good
	switch {
	case !c.OK:
		word, style = "FAILED", ui.Bad
	case c.Skipped != "":
		word, style = "skipped", ui.Dim
	}
	if !p.Terminal {
		p.Table(ui.Table{Rows: [][]ui.Cell{{
			ui.ID(word), ui.ID(c.Kind), ui.ID(c.Name), ui.ID(strconv.FormatInt(c.TookMs, 10)), {Text: toldOf(c)},
		}}})
		return
	}
	p.Line(
		ui.Span{Text: pad(word, 7) + "  ", Style: style},
		ui.Span{Text: pad(string(c.Kind), 5) + "  " + pad(c.Name, 28) + "  "},
		ui.Span{Text: pad(ui.Duration(time.Duration(c.TookMs)*time.Millisecond), 7) + "  ", Style: ui.Dim},
		ui.Span{Text: toldOf(c), Style: ui.Dim},
	)
}

// told is what a check has to tell: a good one, what it saw.
func toldOf(c *api.ConformanceCheck) string {
	switch {
	case c.Skipped != "":
		return c.Skipped
	case c.OK:
		return c.Got
	}
	return "got " + c.Got + "; want " + c.Want
}

func reportView(p *ui.Page, r *api.ConformanceReport) {
	took := ui.Duration(time.Duration(r.TookMs) * time.Millisecond)
	word, style := "passed", ui.Good
	if !r.Passed {
		word, style = "FAILED", ui.Bad
	}
	text := fmt.Sprintf("%s with agent %s: %d of %s good, in %s", r.CellID, r.Version, r.Checks-len(r.Failed), ui.Count(r.Checks, "check"), took)
	if r.CutShort() {
		text += "; it stopped early: the rest was not looked at"
	}
	if !p.Terminal {
		p.Table(ui.Table{Rows: [][]ui.Cell{{ui.ID(word), ui.ID(r.CellID), ui.ID(""), ui.ID(strconv.FormatInt(r.TookMs, 10)), {Text: text}}}})
		return
	}
	p.Line(ui.Span{Text: pad(word, 7) + "  ", Style: style}, ui.Span{Text: text, Style: ui.Bold})
}
