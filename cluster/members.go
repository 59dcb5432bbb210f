package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

const (
	// transferTime bounds a hand-over, dismissTime the telling of a member that it is removed.
	transferTime = 5 * time.Second
	dismissTime  = 3 * time.Second
	// removeTime is after how long a member that was told so is removed, or will not be.
	removeTime  = 30 * time.Second
	memberPause = 20 * time.Millisecond
)

// Members lists the group as the leader sees it.
func (n *Node) Members(context.Context) (*api.RaftMembers, error) {
	if !n.Leads() {
		return nil, n.notLeading()
	}
	return &api.RaftMembers{
		Index: n.raft.AppliedIndex(), Leader: n.cfg.Node, Term: n.raft.CurrentTerm(), Level: uint32(n.machine.View().Level()),
		Wanted: n.cfg.Expect, Tolerates: n.pilot.Tolerates(), Members: n.pilot.Members(),
		Differs: n.Differs(),
	}, nil
}

func (n *Node) notLeading() *api.Error {
	return api.Refuse(api.NoLeader, "scheduler %s does not lead", n.cfg.Node)
}

// Transfer hands leadership to a voter, to the one that is furthest when id is "", and
// returns when that one leads.
func (n *Node) Transfer(ctx context.Context, id api.NodeID) (*api.RaftTransfer, error) {
	if err := n.Transferable(id); err != nil {
		return nil, err
	}
	transfer := n.raft.LeadershipTransfer
	if m, ok := n.voter(id); ok {
		transfer = func() raft.Future { return n.raft.LeadershipTransferToServer(m.ID, m.Address) }
	}
	if err := n.aside(ctx, func() error { return n.handOver(transfer) }); err != nil {
		return nil, api.Refuse(api.Conflict, "scheduler %s keeps the lead: %v", n.cfg.Node, err).
			WithHint("see who has caught up: grafos operator raft list")
	}
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	for {
		if leader := n.Leader(); leader != "" && leader != n.cfg.Node {
			return &api.RaftTransfer{From: n.cfg.Node, To: leader, Term: n.raft.CurrentTerm()}, nil
		}
		if !clock.Sleep(ctx, memberPause) {
			return nil, n.noLeader()
		}
	}
}

// Transferable says what speaks against a hand-over.
func (n *Node) Transferable(id api.NodeID) error {
	if !n.Leads() {
		return n.notLeading()
	}
	if id == n.cfg.Node {
		return api.Refuse(api.Conflict, "scheduler %s leads already", id)
	}
	if _, ok := n.voter(id); id != "" && !ok {
		return api.Refuse(api.NotFound, "there is no voter %s", id).WithHint("grafos operator raft list")
	}
	return nil
}

func (n *Node) voter(id api.NodeID) (raft.Server, bool) {
	servers := n.servers()
	i := slices.IndexFunc(servers, func(s raft.Server) bool { return s.ID == raft.ServerID(id) && s.Suffrage == raft.Voter })
	if i < 0 {
		return raft.Server{}, false
	}
	return servers[i], true
}

// Remove takes a member out of the group and tells it so, and who wants it. What would leave the others without
// a quorum that answers is refused, unless it is forced.
func (n *Node) Remove(ctx context.Context, id api.NodeID, force bool, d api.Dismissal) error {
	if err := n.Removable(id, force); err != nil {
		return err
	}
	if id == n.cfg.Node { // the next leader does it
		if _, err := n.Transfer(ctx, ""); err != nil {
			return err
		}
		return api.Refuse(api.NoLeader, "scheduler %s handed the lead over before it is removed", id)
	}
	unaware := n.dismiss(ctx, id, d)
	ctx, cancel := context.WithTimeout(ctx, removeTime)
	defer cancel()
	if err := n.await(ctx, func() raft.Future { return n.raft.RemoveServer(raft.ServerID(id), 0, 0) }); err != nil {
		return proposeError(err)
	}
	n.log.Info("scheduler removed", "node_id", string(id))
	if unaware != nil {
		unaware = n.dismiss(ctx, id, d) // a release that takes it only afterwards
	}
	if unaware != nil {
		n.log.Warn("a removed scheduler was not told so: should it come back, it is added again, without a vote", "node_id", string(id), "error", unaware)
	}
	return nil
}

// Removable says what speaks against a removal.
func (n *Node) Removable(id api.NodeID, force bool) error {
	if !n.Leads() {
		return n.notLeading()
	}
	servers := n.servers()
	if !slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == raft.ServerID(id) }) {
		return api.Refuse(api.NotFound, "there is no member %s", id).WithHint("grafos operator raft list")
	}
	voters := slices.DeleteFunc(slices.Clone(servers), func(s raft.Server) bool {
		return s.Suffrage != raft.Voter || s.ID == raft.ServerID(id)
	})
	if len(voters) == 0 {
		return api.Refuse(api.Conflict, "scheduler %s is the only voter", id)
	}
	well := 0
	for _, v := range voters {
		if v.ID == raft.ServerID(n.cfg.Node) || n.pilot.Healthy(v.ID) {
			well++
		}
	}
	if quorum := len(voters)/2 + 1; well < quorum && !force {
		return api.Refuse(api.Conflict, "without scheduler %s, %d of %d voters would be healthy, and %d must be", id, well, len(voters), quorum).
			WithHint("bring the others back first: grafos operator raft list; --force removes it all the same")
	}
	return nil
}

// dismiss tells a member that it is removed, where it can be reached.
func (n *Node) dismiss(ctx context.Context, id api.NodeID, d api.Dismissal) error {
	ctx, cancel := context.WithTimeout(ctx, dismissTime)
	defer cancel()
	peer, err := n.Peer(id)
	if err == nil {
		err = peer.Dismiss(ctx, d)
	}
	if err != nil {
		return fmt.Errorf("dismiss %s: %w", id, err)
	}
	return nil
}
