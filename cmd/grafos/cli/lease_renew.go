package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type leaseRenewOptions struct {
	write writeFlags
	ttl   ui.TTL
}

func (a *app) leaseRenew() *cobra.Command {
	var o leaseRenewOptions
	cmd := &cobra.Command{
		Use:   "renew LEASE",
		Short: "Extend a lease's deadline from now; its older tokens are void",
		Args:  exactly("LEASE"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return s.leaseID(ctx, args[0], func(id api.LeaseID) error { return o.run(ctx, s, id) })
		}),
	}
	cmd.Flags().Var(&o.ttl, "ttl", "time to live from now, 1s to 24h; what is left is not made shorter (default: the one it was granted with)")
	o.write.add(cmd)
	return cmd
}

func (o *leaseRenewOptions) run(ctx context.Context, s *session, id api.LeaseID) error {
	ttl := o.ttl.D.Milliseconds()
	if !o.ttl.Given {
		now, err := s.ShowLease(ctx, id, s.Read())
		if err != nil {
			return err
		}
		ttl = now.Lease.TTLMs
	}
	answer, err := s.RenewLease(ctx, id, api.RenewRequest{TTLMs: ttl}, o.write.options())
	if err != nil {
		return o.write.repeatable(err)
	}
	o.write.dry(s.UI)
	return s.Print(answer, func(p *ui.Page) { leasesView(p, []api.Lease{answer.Lease.Lease}, s.Now()) })
}
