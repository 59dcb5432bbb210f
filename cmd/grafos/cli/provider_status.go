package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) providerStatus() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:     "status PROVIDER",
		Short:   "One provider: the six requirements of each cell, and why one is not ready",
		Example: "  grafos provider status local\n  grafos provider status aws -w",
		Args:    exactly("PROVIDER"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return s.Show(ctx, watch, func(ctx context.Context, o api.ReadOptions) (ui.Watched, error) {
				status, err := s.ProviderStatus(ctx, api.ProviderID(args[0]), o)
				if err != nil {
					return ui.Watched{}, err
				}
				return ui.Watched{Doc: status, Index: status.Index, Fresh: status.Freshness, View: func(p *ui.Page) { providerStatusView(p, *status, s.Now()) }}, nil
			})
		}),
	}
	watchFlag(cmd, &watch)
	return cmd
}
