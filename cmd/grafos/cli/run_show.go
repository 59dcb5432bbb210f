package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) runShow() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "show RUN",
		Short: "One run with its leases; with -w until its record is final",
		Args:  exactly("RUN"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return s.runID(ctx, args[0], func(id api.RunID) error {
				return s.Show(ctx, watch, func(ctx context.Context, o api.ReadOptions) (ui.Watched, error) {
					answer, err := s.ShowRun(ctx, id, o)
					if err != nil {
						return ui.Watched{}, err
					}
					return ui.Watched{
						Doc: answer, Index: answer.Index, Fresh: answer.Freshness, Done: answer.Finalised,
						View: func(p *ui.Page) { runView(p, *answer, s.Now()) },
					}, nil
				})
			})
		}),
	}
	watchFlag(cmd, &watch)
	return cmd
}
