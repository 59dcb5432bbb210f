package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) fabricUndrain() *cobra.Command {
	var write writeFlags
	cmd := &cobra.Command{
		Use:   "undrain CELL",
		Short: "Have a drained cell, or one in maintenance, take work again",
		Long: `Have a drained cell, or one in maintenance, take work again. It is returning until it
has been ready for the warm-up: grafos fabric cells -w`,
		Args: exactly("CELL"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			cell, err := s.cellNamed(ctx, args[0])
			if err != nil {
				return err
			}
			answer, err := s.UndrainCell(ctx, cell.CellID, write.options())
			if err != nil {
				return write.repeatable(err)
			}
			write.dry(s.UI)
			return s.Print(answer, func(p *ui.Page) { cellsView(p, []api.Cell{answer.Cell}, s.Now()) })
		}),
	}
	write.add(cmd)
	return cmd
}
