package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// A node has a place in the group when the group's configuration names it. One that is new
// has none, and asks for one through gossip; the leader adds it (package pilot). One that was
// removed learns it from its log, or, when it was away, from whoever leads; from then on it
// answers nobody: what it knows may be old. Only an operator's removal is for good.

const (
	placeLook = time.Second
	// placeDoubt is for how long a member may not hear its leader before it asks whether it
	// still is one.
	placeDoubt = 3 * time.Second
	askTime    = time.Second
)

// tell says what others must know of this node's place.
func (n *Node) tell(hasState, asks bool) {
	had, asked := n.hasState.Swap(hasState), n.asks.Swap(asks)
	if had != hasState || asked != asks {
		n.gossip.SetMeta(n.meta())
	}
}

// Standing says why this node may answer nobody; nil when it may.
func (n *Node) Standing() error {
	if out := n.out.Load(); out != nil {
		return out
	}
	if n.settled.Load() {
		return nil
	}
	why, _ := n.waiting.Load().(string)
	return api.Refuse(api.NoLeader, "scheduler %s is in no cluster yet: %s", n.cfg.Node, why).
		WithHint("ask another scheduler, or wait until this one has formed or joined a cluster")
}

// watchPlace keeps Standing right.
func (n *Node) watchPlace(ctx context.Context) {
	var agreed api.NodeID // the leader with which the past was compared last
	for {
		changed := n.leadership.wait()
		if n.settled.Load() {
			agreed = n.look(ctx, agreed)
		}
		if !waitAny(ctx, changed, placeLook) {
			return
		}
	}
}

// look asks whoever leads whether this node has its place, where there is reason to doubt it,
// and, once a leader, whether both have one past. It returns the leader with which they do.
func (n *Node) look(ctx context.Context, agreed api.NodeID) api.NodeID {
	listed, told, leader := n.listed(), n.away.told(), n.Leader()
	if listed && !told && n.Touch() < placeDoubt && (leader == agreed || leader == "" || leader == n.cfg.Node) {
		n.leave(nil, false)
		return agreed
	}
	if listed && n.Leads() { // nobody else can tell it
		n.away.outlived(n.cfg.Clock)
		n.leave(nil, false)
		return agreed
	}
	epoch := n.machine.View().ClusterEpoch() // before the question: what comes meanwhile comes from the leader
	st := n.askLeader(ctx)
	if st == nil { // nobody leads, or nobody answers: it may be the only one that is right
		if told && !listed {
			n.leave(n.dismissal(), false)
		}
		return agreed
	}
	member := slices.ContainsFunc(st.Members, func(p api.Peer) bool { return p.Node == n.cfg.Node })
	if epoch > st.Epoch || !member && epoch < st.Epoch {
		n.Fail(&LeftBehindError{Node: n.cfg.Node, Epoch: epoch, Cluster: st.Epoch})
		return agreed
	}
	switch {
	case member:
		n.away.outlived(n.cfg.Clock)
		n.leave(nil, false)
		return st.Node
	case told:
		n.leave(n.dismissal(), false)
	default: // it was taken for dead, or nobody could tell it
		n.leave(api.Refuse(api.NoLeader, "scheduler %s was removed from the cluster while it was away, and asks %s to be added again", n.cfg.Node, st.Node).
			WithHint("ask another scheduler"), true)
	}
	return agreed
}

// LeftBehindError says that the cluster was recovered without this node, or that a restore was
// begun with it and never finished: what it keeps is of a past that the cluster does not
// share, and must never meet it.
type LeftBehindError struct {
	Node    api.NodeID
	Epoch   uint64 // of what it keeps
	Cluster uint64 // of the cluster now
}

// Error says both epochs.
func (e *LeftBehindError) Error() string {
	return fmt.Sprintf("scheduler %s has data of cluster epoch %d, and the cluster is in epoch %d: it was recovered or restored without it", e.Node, e.Epoch, e.Cluster)
}

// dismissal is the answer of a node that an operator removed: for good, at this one.
func (n *Node) dismissal() *api.Error {
	return api.Refuse(api.SchedulerRemoved, "scheduler %s was removed from the cluster%s", n.cfg.Node, n.away.by()).
		WithHint("ask another scheduler, and stop this one; to bring it back as a new member, start it with an empty data directory")
}

// Dismiss takes that an operator removes this node: once it is no member, it stays away.
func (n *Node) Dismiss(_ context.Context, d api.Dismissal) error {
	if d.At.IsZero() {
		d.At = n.cfg.Clock.Wall().UTC()
	}
	if err := n.away.tell(n.cfg.Clock, d); err != nil {
		return fmt.Errorf("keep that this scheduler is removed: %w", err)
	}
	n.tell(true, false)
	n.leadership.bump()
	return nil
}

// leave sets why this node answers nobody; nil is that it does.
func (n *Node) leave(why *api.Error, asks bool) {
	old := n.out.Swap(why)
	switch {
	case why != nil && (old == nil || old.Detail != why.Detail):
		n.log.Error("this scheduler answers nobody", "error", why)
	case why == nil && old != nil:
		n.log.Info("this scheduler is a member again")
	}
	n.tell(true, asks)
}

// listed reports whether this node's own log has it as a member.
func (n *Node) listed() bool {
	return slices.ContainsFunc(n.servers(), func(s raft.Server) bool { return s.ID == raft.ServerID(n.cfg.Node) })
}

func (n *Node) servers() []raft.Server {
	f := n.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	return f.Configuration().Servers
}

// askLeader returns what the leader says of the group, nil when none of those that live leads.
func (n *Node) askLeader(ctx context.Context) *api.MemberState {
	others := n.Others()
	answers := make(chan *api.MemberState, len(others))
	for _, id := range others {
		if !n.calls.start(func() { answers <- n.askMember(ctx, id) }) {
			return nil
		}
	}
	var leader *api.MemberState
	for range others {
		if st := <-answers; st != nil && st.Leads && st.ClusterID == n.cfg.ClusterID {
			leader = st
		}
	}
	return leader
}

func (n *Node) askMember(ctx context.Context, id api.NodeID) *api.MemberState {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	peer, err := n.Peer(id)
	if err != nil {
		return nil
	}
	st, err := peer.Member(ctx)
	if err != nil {
		n.log.Debug("ask for its place", "scheduler", string(id), "error", err)
		return nil
	}
	return st
}

// Member tells another scheduler of this node's place.
func (n *Node) Member(ctx context.Context) (*api.MemberState, error) {
	st := n.member()
	st.Leads = n.Leads() && n.Verify(ctx) == nil
	return &st, nil
}

// member is Member without asking anybody.
func (n *Node) member() api.MemberState {
	st := api.MemberState{
		Node: n.cfg.Node, ClusterID: n.cfg.ClusterID, URL: n.cfg.URL, RaftAddr: n.cfg.RaftAddr, Version: n.cfg.Version,
		Level: uint32(fsm.NewestLevel), Epoch: n.machine.View().ClusterEpoch(), Asks: n.asks.Load(),
		Follows: n.raft.State() == raft.Follower, Holds: n.watches.Load(), Term: n.raft.CurrentTerm(), LastIndex: n.raft.LastIndex(), LastTerm: n.lastTerm(),
		Applied: n.raft.AppliedIndex(), LastContactMs: n.Touch().Milliseconds(), Behind: n.cfg.Behind(),
		ConfigIndex: n.machine.configured.Load(), Members: n.Peers(), Prints: n.machine.prints.with(n.machine.View()),
	}
	return st
}

// lastTerm is the term of the newest entry, which raft tells only in a map of texts.
func (n *Node) lastTerm() uint64 {
	v, err := strconv.ParseUint(n.raft.Stats()["last_log_term"], 10, 64)
	if err != nil {
		return 0
	}
	return v
}
