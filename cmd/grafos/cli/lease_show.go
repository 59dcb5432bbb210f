package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) leaseShow() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "show LEASE",
		Short: "One lease; with -w until it has ended",
		Args:  exactly("LEASE"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return s.leaseID(ctx, args[0], func(id api.LeaseID) error {
				return s.Show(ctx, watch, func(ctx context.Context, o api.ReadOptions) (ui.Watched, error) {
					answer, err := s.ShowLease(ctx, id, o)
					if err != nil {
						return ui.Watched{}, err
					}
					return ui.Watched{
						Doc: answer, Index: answer.Index, Fresh: answer.Freshness, Done: answer.Lease.State.Terminal(),
						View: func(p *ui.Page) { leaseView(p, answer.Lease, s.Now()) },
					}, nil
				})
			})
		}),
	}
	watchFlag(cmd, &watch)
	return cmd
}
