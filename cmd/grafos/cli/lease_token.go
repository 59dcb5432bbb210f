package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) leaseToken() *cobra.Command {
	return &cobra.Command{
		Use:     "token LEASE",
		Short:   "A fresh capability token; it lives at most 300 s, and no longer than its lease",
		Example: "  (umask 077; grafos lease token LEASE > token) && grafos lease read LEASE --lease-token token",
		Args:    exactly("LEASE"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return s.leaseID(ctx, args[0], func(id api.LeaseID) error {
				answer, err := s.LeaseToken(ctx, id, api.WriteOptions{})
				if err != nil {
					return err
				}
				return s.Print(answer, func(p *ui.Page) {
					p.Name(string(answer.Lease.ID))
					p.Text(answer.Lease.Token)
				})
			})
		}),
	}
}
