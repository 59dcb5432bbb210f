package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) providerList() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Every provider: whether it takes work, and what is free",
		Args:  exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			return s.Show(ctx, watch, func(ctx context.Context, o api.ReadOptions) (ui.Watched, error) {
				list, err := s.ListProviders(ctx, o)
				if err != nil {
					return ui.Watched{}, err
				}
				return ui.Watched{Doc: list, Index: list.Index, Fresh: list.Freshness, View: func(p *ui.Page) { providersView(p, list.Providers) }}, nil
			})
		}),
	}
	watchFlag(cmd, &watch)
	return cmd
}
