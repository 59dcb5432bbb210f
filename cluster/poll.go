package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// When a leader is gone, its followers ask one another before any of them stands. Who has the
// newest log stands first: the others could not be elected by it, and would cost a round of
// votes on every disk. It is courtesy, not safety, which stays Raft's own.

// pollTime bounds the asking: the others are well and have nothing else to do, or the timers
// find a leader without them.
const pollTime = 150 * time.Millisecond

// ballot is what a voter says of itself while there is no leader; state is nil where it says
// nothing.
type ballot struct {
	node  api.NodeID
	state *api.MemberState
}

// poll asks the voters what they have, without the leader that is gone. The first ballot is
// this node's own; there is none where it has no vote.
func (n *Node) poll(ctx context.Context, gone raft.ServerID) []ballot {
	if _, ok := n.voter(n.cfg.Node); !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	st := n.member()
	votes := []ballot{{n.cfg.Node, &st}}
	servers := n.servers()
	answers, asked := make(chan ballot, len(servers)), 0
	for _, s := range servers {
		id := api.NodeID(s.ID)
		if s.Suffrage != raft.Voter || s.ID == gone || id == n.cfg.Node {
			continue
		}
		if n.calls.start(func() { answers <- ballot{id, n.askMember(ctx, id)} }) {
			asked++
		}
	}
	for range asked {
		votes = append(votes, <-answers)
	}
	return votes
}

// turn is this voter's place among those that can stand: by their logs, then by name. Of one
// that says nothing only the name is known. -1 is that this one has no vote.
func (n *Node) turn(votes []ballot) int {
	if len(votes) == 0 {
		return -1
	}
	own := votes[0]
	return len(slices.DeleteFunc(slices.Clone(votes[1:]), func(b ballot) bool { return compareBallots(b, own) > 0 }))
}

// compareBallots is negative when a stands before b.
func compareBallots(a, b ballot) int {
	if a.state == nil || b.state == nil {
		return cmp.Compare(a.node, b.node)
	}
	return cmp.Or(
		cmp.Compare(b.state.LastTerm, a.state.LastTerm),
		cmp.Compare(b.state.LastIndex, a.state.LastIndex),
		cmp.Compare(a.node, b.node),
	)
}
