package peer

import (
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/mutant"
)

// proven takes out of a leader's request what it does not prove. It proves that the follower's
// log is the leader's up to the last entry that it speaks of: the one before its entries, or
// the last of them. What the follower has after that may be what an earlier leader never
// committed. raft (v1.8.0, appendEntries) would apply it all the same, up to the leader's
// commit index: and a leader that repeats a request to a follower that was down sends its
// commit index of now with the entries of before.
func proven(rpc raft.RPC) raft.RPC {
	q, ok := rpc.Command.(*raft.AppendEntriesRequest)
	if !ok || mutant.On(mutant.CommitUnproven) {
		return rpc
	}
	less := *q // the request may be its sender's
	less.LeaderCommitIndex = min(q.LeaderCommitIndex, q.PrevLogEntry+uint64(len(q.Entries)))
	rpc.Command = &less
	return rpc
}
