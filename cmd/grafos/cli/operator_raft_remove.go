package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) raftRemove() *cobra.Command {
	var write writeFlags
	var force bool
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Take a scheduler out of the Raft group",
		Long: `Take a scheduler out of the Raft group. One that runs is told so, answers nobody from
then on and does not come back; to bring it back as a new member, start it with an empty
data directory. One that was away when it was removed asks to be added again when it
comes back, and is then a spare without a vote.

What would leave the others without a quorum that is healthy is refused.`,
		Args: exactly("ID"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			asks := !write.yes && !write.dryRun
			if err := s.CanConfirm(!asks); err != nil {
				return err
			}
			list, err := s.RaftMembers(ctx)
			if err != nil {
				return err
			}
			id, err := memberID(list, args[0])
			if err != nil {
				return err
			}
			question := fmt.Sprintf("Remove scheduler %s from the Raft group? The others tolerate %s then.", id, ui.Count(toleratedWithout(list, id), "failure"))
			if err := s.Confirm(ctx, !asks, question, string(id)); err != nil {
				return err
			}
			left, err := s.RaftRemove(ctx, id, force, write.options())
			if api.KindOf(err) == api.NotFound { // it was there a moment ago: a try before this one did it
				left, err = s.RaftMembers(ctx)
			}
			if err != nil {
				return write.repeatable(err)
			}
			write.dry(s.UI)
			return s.Print(left, func(p *ui.Page) { membersView(p, *left, s.Now()) })
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "remove it even if the others then have no healthy quorum")
	write.add(cmd)
	return cmd
}

// toleratedWithout is how many of the voters that are well may fail once one member is gone.
func toleratedWithout(list *api.RaftMembers, id api.NodeID) int {
	voters, well := 0, 0
	for _, m := range list.Members {
		if m.Voter && m.Node != id {
			voters++
			if m.Healthy {
				well++
			}
		}
	}
	return max(well-(voters/2+1), 0)
}
