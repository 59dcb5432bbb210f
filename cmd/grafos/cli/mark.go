package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// markFlags say which mark, and whether it is there.
type markFlags struct {
	write      writeFlags
	production bool
}

func (f *markFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.production, "production", true, "only cells that passed the conformance suite take leases; =false takes the mark away")
	f.write.add(cmd)
	_ = cmd.MarkFlagRequired("production") // it is there
}

func (f *markFlags) request() api.MarkRequest { return api.MarkRequest{Production: f.production} }

func (a *app) providerMark() *cobra.Command {
	var f markFlags
	cmd := &cobra.Command{
		Use:   "mark PROVIDER --production",
		Short: "Mark all cells of a provider as production: they take leases when they are conformant",
		Long: `Mark all cells of a provider as production, also those that come later. Such a cell takes
leases only when it has passed the conformance suite with the agent that it has; the suite
runs by itself when a cell is ready for the first time, and by hand: grafos conformance run.
What runs already goes on. With --production=false the mark is taken away.`,
		Example: "  grafos provider mark aws --production --reason 'goes live'",
		Args:    exactly("PROVIDER"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			status, err := s.MarkProvider(ctx, api.ProviderID(args[0]), f.request(), f.write.options())
			if err != nil {
				return f.write.repeatable(err)
			}
			f.write.dry(s.UI)
			return s.Print(status, func(p *ui.Page) { cellsView(p, status.Cells, s.Now()) })
		}),
	}
	f.add(cmd)
	return cmd
}

func (a *app) fabricMark() *cobra.Command {
	var f markFlags
	cmd := &cobra.Command{
		Use:   "mark CELL --production",
		Short: "Mark a cell as production: it takes leases when it is conformant",
		Long: `Mark a cell as production. It then takes leases only when it has passed the conformance
suite with the agent that it has: grafos conformance run. What runs already goes on. With
--production=false the mark is taken away; one of its provider counts all the same.`,
		Example: "  grafos fabric mark aws-1 --production",
		Args:    exactly("CELL"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			cell, err := s.cellNamed(ctx, args[0])
			if err != nil {
				return err
			}
			answer, err := s.MarkCell(ctx, cell.CellID, f.request(), f.write.options())
			if err != nil {
				return f.write.repeatable(err)
			}
			f.write.dry(s.UI)
			return s.Print(answer, func(p *ui.Page) { cellsView(p, []api.Cell{answer.Cell}, s.Now()) })
		}),
	}
	f.add(cmd)
	return cmd
}
