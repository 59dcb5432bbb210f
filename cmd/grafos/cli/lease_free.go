package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) leaseFree() *cobra.Command {
	var write writeFlags
	cmd := &cobra.Command{
		Use:   "free LEASE",
		Short: "Give a lease back; freeing one that has ended is no error",
		Args:  exactly("LEASE"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return s.leaseID(ctx, args[0], func(id api.LeaseID) error {
				answer, err := s.FreeLease(ctx, id, write.options())
				if err != nil {
					return write.repeatable(err)
				}
				write.dry(s.UI)
				return s.Print(answer, func(p *ui.Page) { leasesView(p, []api.Lease{answer.Lease.Lease}, s.Now()) })
			})
		}),
	}
	write.add(cmd)
	return cmd
}
