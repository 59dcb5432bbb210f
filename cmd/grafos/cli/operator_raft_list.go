package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (a *app) raftList() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The members of the Raft group as their leader sees them",
		Long: `The members of the Raft group as their leader sees them. A member without a vote is
one that is catching up, or a spare: it gets a vote when fewer voters than wanted are
healthy, it has been healthy for a while, and it holds every blob and audit record.`,
		Args: exactly(),
		RunE: a.online(func(ctx context.Context, s *session, _ []string) error {
			return s.Show(ctx, watch, func(ctx context.Context, _ api.ReadOptions) (ui.Watched, error) {
				list, err := s.RaftMembers(ctx)
				if err != nil {
					return ui.Watched{}, err
				}
				return ui.Watched{Doc: list, Index: list.Index, View: func(p *ui.Page) { membersView(p, *list, s.Now()) }}, nil
			})
		}),
	}
	watchFlag(cmd, &watch)
	return cmd
}

func listMembers(ctx context.Context, s *session, _ []string) ([]string, error) {
	list, err := s.RaftMembers(ctx)
	if err != nil {
		return nil, err
	}
	return words(list.Members, func(m api.RaftMember) string { return string(m.Node) }), nil
}

// memberID is the member whose name was given, or whose id is it or begins with it.
func memberID(list *api.RaftMembers, given string) (api.NodeID, error) {
	ids := make([]api.NodeID, 0, len(list.Members))
	for _, m := range list.Members {
		if m.Name == given {
			return m.Node, nil
		}
		ids = append(ids, m.Node)
	}
	if given == "" {
		return "", api.Refuse(api.InvalidArgument, "the scheduler id is empty")
	}
	id, err := ui.Prefix("member", given, ids)
	if err != nil {
		return "", api.Problem(err).WithHint("who is a member: grafos operator raft list")
	}
	return id, nil
}
