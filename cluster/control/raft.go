package control

import (
	"context"

	"github.com/grafos/grafos/api"
)

// RaftMembers lists the members of the Raft group; on the leader.
func (c *Control) RaftMembers(ctx context.Context) (*api.RaftMembers, error) {
	return c.cfg.Cluster.Members(ctx)
}

// RaftTransfer hands leadership over.
func (c *Control) RaftTransfer(ctx context.Context, to api.NodeID, o api.WriteOptions) (*api.RaftTransfer, error) {
	if o.DryRun {
		list, err := c.cfg.Cluster.Members(ctx)
		if err != nil {
			return nil, err
		}
		return &api.RaftTransfer{From: list.Leader, To: to, Term: list.Term}, nil
	}
	return c.cfg.Cluster.Transfer(ctx, to)
}

// RaftRemove takes a member out of the Raft group.
func (c *Control) RaftRemove(ctx context.Context, id api.NodeID, force bool, o api.WriteOptions) (*api.RaftMembers, error) {
	if o.DryRun {
		if err := c.cfg.Cluster.Removable(id, force); err != nil {
			return nil, err
		}
		return c.cfg.Cluster.Members(ctx)
	}
	if err := c.cfg.Cluster.Remove(ctx, id, force); err != nil {
		return nil, err
	}
	return c.cfg.Cluster.Members(ctx)
}
