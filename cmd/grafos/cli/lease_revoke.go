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
		before, err := s.ShowLease(ctx, id, s.Read())
		if err != nil {
			return err
		}
		if err := s.Confirm(ctx, agreed, revokeQuestion(before.Lease.Lease), ""); err != nil {
			return err
		}
		agreed = true
		answer, err := s.RevokeLease(ctx, id, api.RevokeRequest{GraceMs: o.grace.Milliseconds()}, o.write.options())
		if err != nil {
			return o.write.repeatable(err)
		}
		o.write.dry(s.UI)
		// A dry run answers with the lease as it is: what would become of it is not known from that.
		if news := wasEnding(before.Lease.Lease, answer.Lease.Lease, s.Now()); news != "" && !o.write.dryRun {
			s.Note("%s", news)
		}
		return s.Print(answer, func(p *ui.Page) { leasesView(p, []api.Lease{answer.Lease.Lease}, s.Now()) })
	})
}

func revokeQuestion(l api.Lease) string {
	return fmt.Sprintf("Revoke lease %s (%s %s of tenant %s on %s)?", l.ID, l.Kind, ui.Amount(l.Kind, l.Amount), l.Tenant, l.CellID)
}

// wasEnding says what a revocation found that was not the first to end a lease; "" is that it was. It
// may bring the end forward, and never puts it off.
func wasEnding(before, after api.Lease, now time.Time) string {
	was := fmt.Sprintf("lease %s was ending already: it is %s (%s)", before.ID, before.State, before.Reason)
	switch {
	case before.State == api.LeaseActive:
		return ""
	case before.State.Terminal():
		return fmt.Sprintf("lease %s had ended already: it is %s (%s), since %s", before.ID, before.State, before.Reason, before.EndedAt.Format(time.RFC3339))
	case !before.State.Usable():
		return was
	case !after.State.Usable():
		return was + ", and would have gone on until " + endOf(before).Format(time.RFC3339) + "; now it ends at once"
	case endOf(after).Equal(endOf(before)):
		return was + ", and ends as before at " + endOf(after).Format(time.RFC3339) + ", in " + ui.Duration(endOf(after).Sub(now))
	}
	return was + ", at " + endOf(before).Format(time.RFC3339) + "; now it ends at " + endOf(after).Format(time.RFC3339) + ", in " + ui.Duration(endOf(after).Sub(now))
}

// endOf is when a lease ends that is still used: as it was announced, or by itself.
func endOf(l api.Lease) time.Time {
	if at := l.ForcedAt(); !at.IsZero() {
		return at
	}
	return l.ExpiresAt
}
