package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// Every scheduler that has applied index i has the same state at i. A node that has another one,
// by a bug, a broken memory or a log that somebody wrote to, would go on for ever: Raft compares
// what is in the log, not what became of it. So each node asks the others now and then for the
// fingerprints of theirs. Where most of the voters have one and this node has another, this
// node is wrong, and ends; where there is no majority, nobody can tell who is, and all say so.

// ForkedError says that this node has another state than most of the voters.
type ForkedError struct {
	Node    api.NodeID
	Index   uint64 // the oldest that is known at which it differs
	Agree   []api.NodeID
	Own, Of string // the fingerprints, its own and that of the others
}

// Error says who has what.
func (e *ForkedError) Error() string {
	return fmt.Sprintf("scheduler %s has another state than %s at index %d: its fingerprint is %.16s, theirs %.16s",
		e.Node, idList(e.Agree), e.Index, e.Own, e.Of)
}

// idList lists ids.
func idList(ids []api.NodeID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	return strings.Join(names, ", ")
}

// watchAgreement compares until ctx ends.
func (n *Node) watchAgreement(ctx context.Context) {
	for clock.Sleep(ctx, n.cfg.Stable/2) {
		if n.Standing() == nil {
			n.compare(n.voices(ctx))
		}
	}
}

// voice is a voter with what it says of its state.
type voice struct {
	node   api.NodeID
	prints []api.Fingerprint
}

// at returns the fingerprint at an index; "" is that there is none.
func (v voice) at(index uint64) string {
	for _, f := range v.prints {
		if f.Index == index {
			return f.Hash
		}
	}
	return ""
}

// voices asks the other voters what they have. The first voice is this node's own. States of
// another cluster epoch are not compared: one of the two is about to be replaced.
func (n *Node) voices(ctx context.Context) []voice {
	servers := n.servers()
	answers, asked := make(chan *api.MemberState, len(servers)), 0
	for _, s := range servers {
		id := api.NodeID(s.ID)
		if s.Suffrage == raft.Voter && id != n.cfg.Node && n.calls.start(func() { answers <- n.askMember(ctx, id) }) {
			asked++
		}
	}
	var others []voice
	epoch := n.machine.View().ClusterEpoch()
	for range asked {
		if st := <-answers; st != nil && st.Epoch == epoch && st.ClusterID == n.cfg.ClusterID {
			others = append(others, voice{st.Node, st.Prints})
		}
	}
	view := n.machine.View()
	if view.ClusterEpoch() != epoch {
		return nil // it was replaced meanwhile
	}
	return append([]voice{{n.cfg.Node, n.machine.prints.with(view)}}, others...)
}

// compare draws the conclusion.
func (n *Node) compare(voices []voice) {
	if len(voices) < 2 {
		return
	}
	own := voices[0]
	for _, f := range own.prints { // the oldest difference says most
		same, other := divide(voices, f)
		if len(other) == 0 {
			continue
		}
		for hash, ids := range other {
			if len(ids) >= n.quorum() {
				n.Fail(&ForkedError{Node: own.node, Index: f.Index, Agree: ids, Own: f.Hash, Of: hash})
				return
			}
		}
		n.differ(f.Index, same, other)
		return
	}
	if old := n.differs.Swap(nil); old != nil {
		n.log.Info("the schedulers have one state again")
	}
}

// divide splits the voices by what they have at an index.
func divide(voices []voice, own api.Fingerprint) (same []api.NodeID, other map[string][]api.NodeID) {
	other = map[string][]api.NodeID{}
	for _, v := range voices {
		switch hash := v.at(own.Index); hash {
		case "":
		case own.Hash:
			same = append(same, v.node)
		default:
			other[hash] = append(other[hash], v.node)
		}
	}
	return same, other
}

// differ raises the alarm.
func (n *Node) differ(index uint64, same []api.NodeID, other map[string][]api.NodeID) {
	var groups []string
	for _, ids := range other {
		slices.Sort(ids)
		groups = append(groups, idList(ids))
	}
	slices.Sort(groups)
	who := "nobody can tell which is right"
	if len(same) >= n.quorum() {
		who = "most of the voters are with the first, the others end and join again"
	}
	why := fmt.Sprintf("%s and %s have different states at index %d: %s", idList(same), strings.Join(groups, " and "), index, who)
	if old := n.differs.Swap(&why); old == nil || *old != why {
		n.log.Error("the schedulers do not agree on the state", "index", index, "same_as_here", idList(same), "others", strings.Join(groups, " and "))
	}
}

// Differs says in which way the voters' states differ, as it was found last; "" is that they
// do not.
func (n *Node) Differs() string {
	if why := n.differs.Load(); why != nil {
		return *why
	}
	return ""
}
