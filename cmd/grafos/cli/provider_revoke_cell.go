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
then forced down, and its identity never registers again. The command returns when no lease
of the cell is left; Ctrl-C leaves the revocation going on.

With --now the identity is barred first, for a cell that is not trusted any more. Nobody hears
it from then on, so that nothing drains and --grace does not count: its leases end at their
own times, and what they hold is free when their hold-down is over too. Where it is still
trusted, --grace 0s ends them at once.`,
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
	d := newDrain(s, cell.CellID)
	if !o.write.dryRun {
		if err := d.follow(ctx); err != nil {
			return s.leftDraining(ctx, "the revocation", cell.CellID, err)
		}
		if status, err = s.ProviderStatus(ctx, provider, s.Read()); err != nil {
			return err
		}
	}
	return s.Print(&revokedCell{ProviderStatus: status, Drained: d.ended}, func(p *ui.Page) { revokedView(p, *status, cell.CellID, o.write.dryRun) })
}

// revokedCell is what revoke-cell ends with.
type revokedCell struct {
	*api.ProviderStatus
	Drained []drainedLease `json:"drained,omitempty"`
}

func (o *revokeCellOptions) question(cell api.Cell) string {
	what := fmt.Sprintf("Revoke %s/%s? It holds %s", cell.Provider, cell.CellID, ui.Count(cell.Leases, "lease"))
	switch {
	case cell.Leases == 0:
		what = fmt.Sprintf("Revoke %s/%s? It holds no lease", cell.Provider, cell.CellID)
	case o.now:
		what += ", which nobody hears of any more: they end at their own times"
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
