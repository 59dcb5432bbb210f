package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
)

func (a *app) deleteTenant() *cobra.Command {
	var write writeFlags
	cmd := &cobra.Command{
		Use:   "delete-tenant TENANT",
		Short: "Delete a tenant that holds no lease",
		Args:  exactly("TENANT"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			question := fmt.Sprintf("Delete tenant %s with its quota?", args[0])
			if err := s.Confirm(ctx, write.yes || write.dryRun, question, args[0]); err != nil {
				return err
			}
			answer, err := s.DeleteTenant(ctx, api.TenantID(args[0]), write.options())
			return s.showTenant(answer, err, &write)
		}),
	}
	write.add(cmd)
	return cmd
}
