package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type drainOptions struct {
	write       writeFlags
	grace       time.Duration
	maintenance bool
	detach      bool
}

func (a *app) fabricDrain() *cobra.Command {
	var o drainOptions
	cmd := &cobra.Command{
		Use:   "drain CELL",
		Short: "Have a cell take no new work, and wait until it holds none",
		Long: `Have a cell take no new work, and wait until it holds none. Its leases run to their own
ends; a lease that is renewed goes on. With --grace their holders are warned, and what is
left after it is forced down. The cell then is drained, or with --maintenance in
maintenance, until grafos fabric undrain. Ctrl-C leaves the drain going on.`,
		Example: "  grafos fabric drain aws-1 --grace 30s --maintenance --reason 'new kernel' --yes",
		Args:    exactly("CELL"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return o.run(ctx, s, args[0])
		}),
	}
	cmd.Flags().DurationVar(&o.grace, "grace", 0, "how long its leases may still run (default: to their own ends)")
	cmd.Flags().BoolVar(&o.maintenance, "maintenance", false, "for work on the host")
	cmd.Flags().BoolVar(&o.detach, "detach", false, "do not wait until it is drained")
	o.write.add(cmd)
	return cmd
}

func (o *drainOptions) run(ctx context.Context, s *session, given string) error {
	if o.grace < 0 {
		return api.Refuse(api.InvalidArgument, "--grace %s is negative", o.grace)
	}
	asks := o.grace > 0 && !o.write.yes && !o.write.dryRun
	if err := s.CanConfirm(!asks); err != nil {
		return err
	}
	cell, err := s.cellNamed(ctx, given)
	if err != nil {
		return err
	}
	question := fmt.Sprintf("Drain %s? Its holders have %s, then %s forced down.", cell.CellID, ui.Duration(o.grace), forced(cell.Leases))
	if err := s.Confirm(ctx, !asks, question, string(cell.CellID)); err != nil {
		return err
	}
	answer, err := s.DrainCell(ctx, cell.CellID, api.DrainRequest{GraceMs: o.grace.Milliseconds(), Maintenance: o.maintenance}, o.write.options())
	if err != nil {
		return o.write.repeatable(err)
	}
	o.write.dry(s.UI)
	d := newDrain(s, cell.CellID)
	if !o.write.dryRun && !o.detach {
		if err := d.follow(ctx); err != nil {
			return s.leftDraining(ctx, "the drain", cell.CellID, err)
		}
		if answer.Cell, err = s.cellNamed(ctx, string(cell.CellID)); err != nil {
			return err
		}
	}
	fenced, err := s.fencedOn(ctx, cell.CellID)
	if err != nil { // the drain is done all the same
		s.Note("what of cell %s is fenced is not known: %v", cell.CellID, err)
	}
	return s.Print(&drainedCell{CellAnswer: answer, Drained: d.ended, Fenced: fenced}, func(p *ui.Page) { cellsView(p, []api.Cell{answer.Cell}, s.Now()) })
}

func forced(n int) string {
	if n == 1 {
		return "its lease is"
	}
	return fmt.Sprintf("what is left of its %s is", ui.Count(n, "lease"))
}

// drainedCell is what fabric drain ends with.
type drainedCell struct {
	*api.CellAnswer
	Drained []drainedLease `json:"drained,omitempty"`
	// Fenced is how many resources of the cell are quarantined: no drain ends that.
	Fenced int `json:"fenced,omitempty"`
}

// fencedOn counts what is quarantined on a cell, and tells a person of it: whoever works on the host
// may be able to clear it.
func (s *session) fencedOn(ctx context.Context, id api.CellID) (int, error) {
	list, err := s.allLeases(ctx, api.LeaseFilter{Cell: id, State: api.LeaseFenced}, s.Read())
	if err != nil {
		return 0, err
	}
	n := 0
	for _, l := range list.Leases {
		if l.Fenced() {
			n++
		}
	}
	if n > 0 {
		s.Note("%s of %s, whose teardown failed, %s fenced, and no drain clears that: grafos admin list-fenced-leases --cell %s",
			ui.Count(n, "lease"), id, are(n), id)
	}
	return n, nil
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// leftDraining says what goes on when the command stops waiting.
func (s *session) leftDraining(ctx context.Context, what string, id api.CellID, err error) error {
	if !ui.Ended(ctx, err) {
		return err
	}
	problem := api.Refuse(api.OutcomeUnknown, "stopped waiting: %s of %s goes on", what, id)
	return problem.WithHint("grafos fabric cells -w")
}

// cellNamed returns the cell that given is, or is a unique prefix of.
func (s *session) cellNamed(ctx context.Context, given string) (api.Cell, error) {
	list, err := s.ListCells(ctx, "", s.Read())
	if err != nil {
		return api.Cell{}, err
	}
	ids := make([]api.CellID, len(list.Cells))
	for i, c := range list.Cells {
		ids[i] = c.CellID
	}
	id, err := ui.Prefix("cell", given, ids)
	if err != nil {
		return api.Cell{}, err
	}
	for _, c := range list.Cells {
		if c.CellID == id {
			return c, nil
		}
	}
	return api.Cell{}, api.Refuse(api.NotFound, "cell %q does not exist", given)
}
