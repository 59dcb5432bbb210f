package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) listTenants() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "list-tenants",
		Short: "Every tenant: what it holds of what it may",
		Args:  exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			return s.Show(ctx, watch, func(ctx context.Context, o api.ReadOptions) (ui.Watched, error) {
				list, err := s.ListTenants(ctx, o)
				if err != nil {
					return ui.Watched{}, err
				}
				return ui.Watched{Doc: list, Index: list.Index, Fresh: list.Freshness, View: func(p *ui.Page) { tenantsView(p, list.Tenants, s.Now()) }}, nil
			})
		}),
	}
	watchFlag(cmd, &watch)
	return cmd
}

// showTenant prints what a mutation of a tenant answered.
func (s *session) showTenant(answer *api.TenantAnswer, err error, write *writeFlags) error {
	if err != nil {
		return write.repeatable(err)
	}
	write.dry(s.UI)
	return s.Print(answer, func(p *ui.Page) { tenantsView(p, []api.TenantUsage{answer.Tenant}, s.Now()) })
}
