package cli

import "github.com/spf13/cobra"

func (a *app) operator() *cobra.Command {
	return group("operator", "The schedulers themselves: members, snapshots, recovery",
		group("raft", "The Raft group: who is in it, who leads",
			a.raftList(), a.suggest(a.raftTransfer(), listMembers), a.suggest(a.raftRemove(), listMembers)),
		a.debug(),
	)
}
