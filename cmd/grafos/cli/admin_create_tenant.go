package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
)

func (a *app) createTenant() *cobra.Command {
	var write writeFlags
	cmd := &cobra.Command{
		Use:     "create-tenant TENANT",
		Short:   "Create a tenant; it is not limited until set-quota says so",
		Example: "  grafos admin create-tenant acme && grafos admin set-quota acme --cpu 20000 --mem 64G",
		Args:    exactly("TENANT"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			answer, err := s.CreateTenant(ctx, api.TenantID(args[0]), write.options())
			return s.showTenant(answer, err, &write)
		}),
	}
	write.add(cmd)
	return cmd
}
