package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type leaseRevokeOptions struct {
	write writeFlags
	grace time.Duration
}

func (a *app) leaseRevoke() *cobra.Command {
	var o leaseRevokeOptions
	cmd := &cobra.Command{
		Use:   "revoke LEASE",
		Short: "End a lease against its holder's will",
		Args:  exactly("LEASE"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return o.run(ctx, s, args[0])
		}),
	}
	cmd.Flags().DurationVar(&o.grace, "grace", 0, "how long its holder is warned before (0: it ends at once)")
	o.write.add(cmd)
	return cmd
}

func (o *leaseRevokeOptions) run(ctx context.Context, s *session, given string) error {
	if o.grace < 0 {
		return api.Refuse(api.InvalidArgument, "--grace %s is negative", o.grace)
	}
	agreed := o.write.yes || o.write.dryRun
	if err := s.CanConfirm(agreed); err != nil {
		return err
	}
	return s.leaseID(ctx, given, func(id api.LeaseID) error {
		if !agreed {
			if err := o.confirm(ctx, s, id); err != nil {
				return err
			}
			agreed = true
		}
		answer, err := s.RevokeLease(ctx, id, api.RevokeRequest{GraceMs: o.grace.Milliseconds()}, o.write.options())
		if err != nil {
			return o.write.repeatable(err)
		}
		o.write.dry(s.UI)
		return s.Print(answer, func(p *ui.Page) { leasesView(p, []api.Lease{answer.Lease.Lease}, s.Now()) })
	})
}

func (o *leaseRevokeOptions) confirm(ctx context.Context, s *session, id api.LeaseID) error {
	answer, err := s.ShowLease(ctx, id, s.Read())
	if err != nil {
		return err
	}
	l := answer.Lease
	question := fmt.Sprintf("Revoke lease %s (%s %s of tenant %s on %s)?", l.ID, l.Kind, ui.Amount(l.Kind, l.Amount), l.Tenant, l.CellID)
	return s.Confirm(ctx, false, question, "")
}
