package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) unfenceLease() *cobra.Command {
	var write writeFlags
	cmd := &cobra.Command{
		Use:   "unfence-lease LEASE",
		Short: "Clear the fence of a lease whose teardown failed, so that its resource may be given again",
		Long: `Clear the fence of a lease whose teardown failed.

A fence keeps a resource that could not be torn down from being given to anybody. Clear it when
what held the resource is known to be gone: the process has ended, the file is wiped or the host
was started anew. The lease stays fenced in the record; its amount is free again.`,
		Args: exactly("LEASE"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return unfence(ctx, s, args[0], &write)
		}),
	}
	write.add(cmd)
	return cmd
}

func unfence(ctx context.Context, s *session, given string, write *writeFlags) error {
	agreed := write.yes || write.dryRun
	if err := s.CanConfirm(agreed); err != nil {
		return err
	}
	return s.leaseID(ctx, given, func(id api.LeaseID) error {
		if !agreed {
			if err := confirmUnfence(ctx, s, id); err != nil {
				return err
			}
			agreed = true
		}
		answer, err := s.UnfenceLease(ctx, id, write.options())
		if err != nil {
			return write.repeatable(err)
		}
		write.dry(s.UI)
		return s.Print(answer, func(p *ui.Page) { fencesView(p, []api.Lease{answer.Lease.Lease}, s.Now()) })
	})
}

func confirmUnfence(ctx context.Context, s *session, id api.LeaseID) error {
	answer, err := s.ShowLease(ctx, id, s.Read())
	if err != nil {
		return err
	}
	l := answer.Lease
	question := fmt.Sprintf("Give %s %s of cell %s to others again? The teardown of lease %s failed: %s.", ui.Amount(l.Kind, l.Amount), l.Kind, l.CellID, l.ID, l.Reason)
	return s.Confirm(ctx, false, question, "")
}
