package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) listFencedLeases() *cobra.Command {
	var watch bool
	var filter api.LeaseFilter
	cmd := &cobra.Command{
		Use:   "list-fenced-leases",
		Short: "Leases whose teardown failed: what they quarantine, and where",
		Long: `List the leases whose teardown failed: what they quarantine, and where. The reason is why
they ended; why they could not be torn down stands in the audit chain:

  grafos admin audit-query --kind lease_fenced`,
		Args: exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			filter.State = api.LeaseFenced
			return s.Show(ctx, watch, func(ctx context.Context, r api.ReadOptions) (ui.Watched, error) {
				list, err := s.allLeases(ctx, filter, r)
				if err != nil {
					return ui.Watched{}, err
				}
				return ui.Watched{Doc: list, Index: list.Index, Fresh: list.Freshness, View: func(p *ui.Page) { fencesView(p, list.Leases, s.Now()) }}, nil
			})
		}),
	}
	fs := cmd.Flags()
	fs.StringVar((*string)(&filter.Tenant), "tenant", "", "only those of this `tenant`")
	fs.StringVar((*string)(&filter.Provider), "provider", "", "only those of this `provider`")
	fs.StringVar((*string)(&filter.Cell), "cell", "", "only those on this `cell`")
	watchFlag(cmd, &watch)
	return cmd
}
