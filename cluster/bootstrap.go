package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cluster/rumor"
)

// bootstrap forms a cluster when exactly as many schedulers as expected have found each
// other and none of them has data. It ends when the node has a configuration, formed here
// or received from a leader. Nobody founds before it has asked every address that it was
// given: one of them may be of a cluster with data.
func (n *Node) bootstrap(ctx context.Context) {
	select {
	case <-n.gossip.Asked():
	case <-ctx.Done():
		return
	}
	said := ""
	for {
		changed := n.gossip.Changed()
		if n.hasConfiguration() {
			n.settle()
			return
		}
		servers, why := founders(n.gossip.Members(), n.cfg.Node, n.cfg.Expect)
		if why == "" {
			n.form(ctx, servers)
			continue
		}
		if why != said {
			n.log.Info("waiting to form or join a cluster", "reason", why)
			n.waiting.Store(why)
			said = why
		}
		if !waitAny(ctx, changed, time.Second) {
			return
		}
	}
}

func (n *Node) hasConfiguration() bool { return len(n.servers()) > 0 }

// settle says that this node belongs to a cluster with data from now on.
func (n *Node) settle() {
	n.settled.Store(true)
	n.tell(true, false)
}

func (n *Node) form(ctx context.Context, servers []raft.Server) {
	err := n.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error()
	if errors.Is(err, raft.ErrCantBootstrap) {
		return // a leader was faster: its configuration is here
	}
	if err != nil {
		n.log.Error("form cluster", "error", err)
		clock.Sleep(ctx, time.Second)
		return
	}
	n.log.Info("cluster formed", "schedulers", len(servers))
	n.settle()
	// They stand in turn, so that a new cluster does not wait for a timeout: the first may come
	// too late to form the cluster itself, and then waits for whoever leads. Who has been asked
	// for its vote, or has given it, is in a later term than the one that forming began.
	turn := slices.IndexFunc(servers, func(s raft.Server) bool { return s.ID == raft.ServerID(n.cfg.Node) })
	if !clock.Sleep(ctx, time.Duration(turn)*watchStagger) || n.raft.State() != raft.Follower || n.raft.CurrentTerm() > formedTerm {
		return
	}
	if err := n.trans.StartElection(ctx, n.header()); err != nil {
		n.log.Debug("first election", "error", err)
	}
}

// formedTerm is the term that raft begins a new cluster with.
const formedTerm = 1

func (n *Node) header() raft.RPCHeader {
	return raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax,
		ID:              []byte(n.cfg.Node), Addr: []byte(n.cfg.RaftAddr),
	}
}

// founders decides who forms a cluster, or says why there is none to form yet. Every
// founder computes the same list, in order of name.
func founders(members []rumor.Member, self api.NodeID, expect int) ([]raft.Server, string) {
	var alive []rumor.Member
	for _, m := range members {
		if m.HasState && m.Node == self {
			return nil, "it had data of a cluster, whose leader must add it"
		}
		if m.HasState {
			return nil, "scheduler " + string(m.Node) + " belongs to a cluster that has data, whose leader must add this one"
		}
		if m.Alive {
			alive = append(alive, m)
		}
	}
	for _, m := range alive {
		if m.Expect != expect {
			return nil, "scheduler " + string(m.Node) + " expects another number of schedulers"
		}
	}
	if len(alive) != expect {
		return nil, countText(len(alive), expect)
	}
	slices.SortFunc(alive, func(a, b rumor.Member) int { return strings.Compare(string(a.Node), string(b.Node)) })
	servers := make([]raft.Server, 0, expect)
	for _, m := range alive {
		servers = append(servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(m.Node), Address: raft.ServerAddress(m.RaftAddr),
		})
	}
	return servers, ""
}

func countText(have, want int) string {
	if have > want {
		return api.Refuse(api.Conflict, "%s found each other, but bootstrap-expect is %d: stop the ones that do not belong", api.Count(have, "scheduler"), want).Detail
	}
	return api.Refuse(api.NoLeader, "%d of %d schedulers found", have, want).Detail
}

// waitAny waits for ch, for d or for ctx; it reports whether ctx is still alive.
func waitAny(ctx context.Context, ch <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ch:
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
