package control

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
)

// ReadIndex answers a follower that wants to serve a verified read.
func (c *Control) ReadIndex(ctx context.Context) (*api.ReadIndex, error) {
	return c.cfg.Cluster.ReadIndex(ctx)
}

// Member tells of this scheduler's place in the Raft group.
func (c *Control) Member(ctx context.Context) (*api.MemberState, error) {
	return c.cfg.Cluster.Member(ctx)
}

// Dismiss takes that an operator removes this scheduler.
func (c *Control) Dismiss(ctx context.Context, d api.Dismissal) error {
	return c.cfg.Cluster.Dismiss(ctx, d)
}

// Sightings is what this scheduler itself saw of the cells.
func (c *Control) Sightings(context.Context) (*api.SightingTable, error) {
	t := c.cfg.Sightings.Local()
	return &t, nil
}

// AskPeers brings the sightings of every reachable scheduler into this one's table: what a
// leader does before it declares a cell unhealthy.
func (c *Control) AskPeers(ctx context.Context) {
	others := c.cfg.Cluster.Others()
	answers := make(chan *api.SightingTable, len(others))
	for _, n := range others {
		go func() {
			answers <- c.askSightings(ctx, n)
		}()
	}
	for range others {
		if t := <-answers; t != nil {
			c.cfg.Sightings.Merge(*t)
		}
	}
}

func (c *Control) askSightings(ctx context.Context, n api.NodeID) *api.SightingTable {
	peer, err := c.cfg.Cluster.Peer(n)
	if err != nil {
		return nil
	}
	t, err := peer.Sightings(ctx)
	if err != nil {
		c.log.Debug("ask for sightings", "scheduler", string(n), "error", err)
		return nil
	}
	return t
}

// AskCell hands a question to the session of a cell, where this node holds it.
func (c *Control) AskCell(_ context.Context, cell api.CellID, a api.Ask) error {
	if c.sessions.ask(cell, a) {
		return nil
	}
	return api.Refuse(api.NotFound, "scheduler %s holds no session of cell %s", c.cfg.Node, cell)
}

// AuditReplica reads this node's own copy of the audit chain.
func (c *Control) AuditReplica(_ context.Context, f api.AuditFilter) (*api.AuditPage, error) {
	if f.Limit <= 0 || f.Limit > maxAuditPage {
		f.Limit = maxAuditPage
	}
	records, next, err := c.cfg.Audit.Read(f)
	if err != nil {
		return nil, err
	}
	v := c.cfg.Machine.View()
	return &api.AuditPage{Index: v.Index(), Head: v.AuditHead(), Records: records, Next: next}, nil
}

const (
	viaLeaderTime = 5 * time.Second
	// viaLeaderPause is the first pause before a leader is asked again that is not ready yet; it
	// doubles up to viaLeaderCap.
	viaLeaderPause = 5 * time.Millisecond
	viaLeaderCap   = 50 * time.Millisecond
)

// viaLeader does something on the leader: here, or over its peer interface. It is repeated
// while leadership moves, so what it does must bear repetition, and at once when another one
// leads.
func (c *Control) viaLeader(ctx context.Context, do func(context.Context, api.Peers) error) error {
	ctx, cancel := context.WithTimeout(ctx, viaLeaderTime)
	defer cancel()
	for pause := viaLeaderPause; ; pause = min(2*pause, viaLeaderCap) {
		moved := c.cfg.Cluster.LeaderMoved()
		err := c.tryLeader(ctx, do)
		kind := api.KindOf(err)
		if kind != api.NoLeader && kind != api.OutcomeUnknown {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-moved:
			pause = viaLeaderPause / 2
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (c *Control) tryLeader(ctx context.Context, do func(context.Context, api.Peers) error) error {
	if c.cfg.Cluster.Leads() {
		return do(ctx, c)
	}
	leader := c.cfg.Cluster.Leader()
	if leader == "" || leader == c.cfg.Node {
		return api.Refuse(api.NoLeader, "scheduler %s knows no leader", c.cfg.Node)
	}
	peer, err := c.cfg.Cluster.Peer(leader)
	if err != nil {
		return api.Refuse(api.NoLeader, "leader %s: %v", leader, err)
	}
	return do(ctx, peer)
}
