package pilot

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
)

// admit adds whoever asks, and moves whoever has another address than the group knows.
func (p *Pilot) admit(ctx context.Context) {
	servers, err := p.configuration()
	if err != nil {
		return // raft stops
	}
	for _, m := range p.c.Gossip.Members() {
		if ctx.Err() != nil {
			return
		}
		if !m.Alive {
			continue
		}
		i := slices.IndexFunc(servers, func(s raft.Server) bool { return s.ID == raft.ServerID(m.Node) })
		switch {
		case i < 0 && m.Asks, i >= 0 && string(servers[i].Address) != m.RaftAddr:
			p.take(ctx, m, i >= 0)
		}
	}
}

// take asks a scheduler whether it is what gossip says, and makes it a member, or a member
// with its new address. What it says of itself it says over mutual TLS, with a scheduler's
// certificate of this cluster.
func (p *Pilot) take(ctx context.Context, m rumor.Member, member bool) {
	st, err := p.ask(ctx, m)
	if err == nil {
		err = p.check(m, st, member)
	}
	if err != nil {
		p.c.Log.Warn("scheduler not taken", "node_id", string(m.Node), "url", m.URL, "error", err)
		return
	}
	if err := p.auto.AddServer(&autopilot.Server{ID: raft.ServerID(m.Node), Address: raft.ServerAddress(m.RaftAddr)}); err != nil {
		p.c.Log.Warn("scheduler not taken", "node_id", string(m.Node), "error", err)
		return
	}
	if member {
		p.c.Log.Info("a scheduler has another address", "node_id", string(m.Node), "raft_address", m.RaftAddr)
		return
	}
	p.c.Log.Info("scheduler added without a vote", "node_id", string(m.Node), "raft_address", m.RaftAddr)
}

func (p *Pilot) ask(ctx context.Context, m rumor.Member) (*api.MemberState, error) {
	if m.Node == p.c.Self {
		own := p.c.Own()
		return &own, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return p.c.Ask(ctx, m.URL)
}

// check says why a scheduler cannot be taken.
func (p *Pilot) check(m rumor.Member, st *api.MemberState, member bool) error {
	switch {
	case st.ClusterID != p.c.ClusterID:
		return fmt.Errorf("it is of cluster %s", st.ClusterID)
	case st.Node != m.Node:
		return fmt.Errorf("at its address answers %s", st.Node)
	case st.RaftAddr != m.RaftAddr:
		return fmt.Errorf("gossip says that its Raft is at %s, and itself that it is at %s", m.RaftAddr, st.RaftAddr)
	case !member && st.LastIndex > 0 && st.Epoch != p.c.Own().Epoch:
		return fmt.Errorf("its data is of cluster epoch %d, the cluster is in epoch %d", st.Epoch, p.c.Own().Epoch)
	case !member && st.Level < p.c.Level():
		return fmt.Errorf("it knows feature level %d, the cluster is at %d: run a release there that knows it", st.Level, p.c.Level())
	case !member && !st.Asks:
		return fmt.Errorf("it does not ask")
	}
	if _, port, err := net.SplitHostPort(m.RaftAddr); err != nil || port == "0" {
		return fmt.Errorf("nobody can dial its Raft at %q", m.RaftAddr)
	}
	return p.checkAddress(m)
}

// checkAddress refuses an address at which another member lives.
func (p *Pilot) checkAddress(m rumor.Member) error {
	servers, err := p.configuration()
	if err != nil {
		return err
	}
	for _, s := range servers {
		if s.ID == raft.ServerID(m.Node) || string(s.Address) != m.RaftAddr {
			continue
		}
		if slices.ContainsFunc(p.c.Gossip.Members(), func(o rumor.Member) bool { return o.Alive && raft.ServerID(o.Node) == s.ID }) {
			return fmt.Errorf("member %s lives at the same address", s.ID)
		}
		p.c.Log.Info("a scheduler comes in place of one that is gone", "node_id", string(m.Node), "instead_of", string(s.ID))
	}
	return nil
}
