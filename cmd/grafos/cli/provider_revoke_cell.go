package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type revokeCellOptions struct {
	write writeFlags
	grace time.Duration
	now   bool
}

// defaultGrace is how long the leases of a revoked cell drain before they are forced down.
const defaultGrace = 10 * time.Second

func (a *app) providerRevokeCell() *cobra.Command {
	var o revokeCellOptions
	cmd := &cobra.Command{
		Use:   "revoke-cell PROVIDER CELL",
		Short: "Take a cell out for good: drain it, then bar its identity",
		Long: `Take a cell out for good. It takes no new work, its leases drain for --grace and are
then forced down, and its identity never registers again. With --now the identity is
barred first, for a cell that is not trusted any more. The command returns when no lease
of the cell is left; Ctrl-C leaves the revocation going on.`,
		Args: exactly("PROVIDER", "CELL"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return o.run(ctx, s, api.ProviderID(args[0]), args[1])
		}),
	}
	cmd.Flags().DurationVar(&o.grace, "grace", defaultGrace, "how long its leases may drain")
	cmd.Flags().BoolVar(&o.now, "now", false, "bar the identity first")
	o.write.add(cmd)
	return cmd
}

func (o *revokeCellOptions) run(ctx context.Context, s *session, provider api.ProviderID, given string) error {
	if o.grace < 0 {
		return api.Refuse(api.InvalidArgument, "--grace %s is negative", o.grace)
	}
	asks := !o.write.yes && !o.write.dryRun
	if err := s.CanConfirm(!asks); err != nil {
		return err
	}
	status, err := s.ProviderStatus(ctx, provider, s.Read())
	if err != nil {
		return err
	}
	cell, err := findCell(status, given)
	if err != nil {
		return err
	}
	if err := s.Confirm(ctx, !asks, o.question(cell), string(cell.CellID)); err != nil {
		return err
	}
	request := api.RevokeCellRequest{GraceMs: o.grace.Milliseconds(), Now: o.now}
	status, err = s.RevokeCell(ctx, provider, cell.CellID, request, o.write.options())
	if err != nil {
		return o.write.repeatable(err)
	}
	o.write.dry(s.UI)
	if !o.write.dryRun {
		if status, err = s.untilRevoked(ctx, status, cell.CellID); err != nil {
			return err
		}
	}
	return s.Print(status, func(p *ui.Page) { revokedView(p, *status, cell.CellID, o.write.dryRun) })
}

func (o *revokeCellOptions) question(cell api.Cell) string {
	what := fmt.Sprintf("Revoke %s/%s? It holds %s", cell.Provider, cell.CellID, ui.Count(cell.Leases, "lease"))
	switch {
	case cell.Leases == 0:
		what = fmt.Sprintf("Revoke %s/%s? It holds no lease", cell.Provider, cell.CellID)
	case o.now:
		what += ", which end at once"
	default:
		what += ", which drain for " + ui.Duration(o.grace) + " and are then torn down"
	}
	return what + ". Its identity never registers again."
}

// findCell returns the cell of a provider that given is, or is a unique prefix of.
func findCell(status *api.ProviderStatus, given string) (api.Cell, error) {
	ids := make([]api.CellID, len(status.Cells))
	for i, c := range status.Cells {
		ids[i] = c.CellID
	}
	id, err := ui.Prefix("cell of provider "+string(status.Provider), given, ids)
	if err != nil {
		return api.Cell{}, err
	}
	return cellOf(status, id), nil
}

func cellOf(status *api.ProviderStatus, id api.CellID) api.Cell {
	for _, c := range status.Cells {
		if c.CellID == id {
			return c
		}
	}
	return api.Cell{}
}

// followWait is how long a command that follows something lets one read block.
const followWait = 20 * time.Second

// drainWait is how long a look at a draining cell blocks: the end of a lease changes neither
// the cell nor its provider, so that nothing wakes the read.
const drainWait = time.Second

// untilRevoked returns the provider's status when the cell is revoked and holds no lease.
func (s *session) untilRevoked(ctx context.Context, status *api.ProviderStatus, id api.CellID) (*api.ProviderStatus, error) {
	progress := drain{session: s, cell: id, seen: map[api.LeaseID]api.LeaseState{}, since: s.Now()}
	for {
		cell := cellOf(status, id)
		if cell.Leases == 0 && cell.State == api.CellRevoked {
			return status, nil
		}
		if err := progress.show(ctx); err != nil {
			return nil, s.leftRevoking(ctx, id, err)
		}
		if !ui.Sleep(ctx, followPace) {
			return nil, s.leftRevoking(ctx, id, ctx.Err())
		}
		o := s.Read()
		o.AfterIndex, o.Wait = status.Index, drainWait
		next, err := s.ProviderStatus(ctx, status.Provider, o)
		if err != nil {
			return nil, s.leftRevoking(ctx, id, err)
		}
		status = next
	}
}

// leftRevoking says what goes on when the command stops waiting.
func (s *session) leftRevoking(ctx context.Context, id api.CellID, err error) error {
	if !ui.Ended(ctx, err) {
		return err
	}
	problem := api.Refuse(api.OutcomeUnknown, "stopped waiting: the revocation of %s goes on", id)
	return problem.WithHint("grafos fabric cells -w")
}

// drain tells a person how the leases of a cell come down.
type drain struct {
	*session
	cell  api.CellID
	seen  map[api.LeaseID]api.LeaseState
	since time.Time
}

func (d *drain) show(ctx context.Context) error {
	if d.Output.Machine() || !d.ErrTerminal {
		return nil
	}
	list, err := d.allLeases(ctx, api.LeaseFilter{Cell: d.cell, All: true}, d.Read())
	if err != nil {
		return err
	}
	for _, l := range list.Leases {
		before, known := d.seen[l.ID]
		d.seen[l.ID] = l.State
		if before == l.State || !known && l.State.Terminal() {
			continue
		}
		d.Progress(
			ui.Span{Text: fmt.Sprintf("%-16s", l.State), Style: leaseStyle(l.State)},
			ui.Span{Text: fmt.Sprintf("lease %s  %s %s", l.ID, l.Kind, ui.Amount(l.Kind, l.Amount))},
			ui.Span{Text: "  " + ui.Duration(d.Now().Sub(d.since)), Style: ui.Dim},
		)
	}
	return nil
}
