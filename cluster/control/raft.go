package control

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// RaftMembers lists the members of the Raft group; on the leader.
func (c *Control) RaftMembers(ctx context.Context) (*api.RaftMembers, error) {
	return c.cfg.Cluster.Members(ctx)
}

// RaftTransfer hands leadership over. Asked again under the same key it hands over only where
// the one that was named does not lead.
func (c *Control) RaftTransfer(ctx context.Context, to api.NodeID, o api.WriteOptions) (*api.RaftTransfer, error) {
	id, err := idem(actor(ctx), o, "raft_transfer", to)
	if err != nil {
		return nil, err
	}
	list, err := c.cfg.Cluster.Members(ctx)
	if err != nil {
		return nil, err
	}
	again := c.asked(id)
	if to == "" && again {
		to = c.named(ctx, id)
	}
	if to == "" {
		to = furthest(list)
	}
	if again && to == list.Leader {
		return &api.RaftTransfer{To: list.Leader, Term: list.Term, Repeated: true}, nil
	}
	if err := c.cfg.Cluster.Transferable(to); err != nil {
		return nil, err
	}
	if o.DryRun {
		return &api.RaftTransfer{From: list.Leader, To: to, Term: list.Term}, nil
	}
	if err := c.note(ctx, fsm.NoteMembership{Idem: id, Change: fsm.RaftTransfer, Node: to}, o); err != nil {
		return nil, err
	}
	return c.cfg.Cluster.Transfer(ctx, to)
}

// furthest returns the healthy voter that has the most of the log, but for the leader; "" leaves
// it to Raft, where none is known to be healthy yet.
func furthest(list *api.RaftMembers) api.NodeID {
	var best api.RaftMember
	for _, m := range list.Members {
		if m.Voter && m.Healthy && m.Node != list.Leader && (best.Node == "" || m.LastIndex > best.LastIndex) {
			best = m
		}
	}
	return best.Node
}

// named returns whom the lead was handed to when nobody was named, and the same was asked under
// the same key; "" is that it is not known any more.
func (c *Control) named(ctx context.Context, id fsm.Idem) api.NodeID {
	old, ok := c.cfg.Machine.View().IdemKey(id.Scope, id.Key)
	if !ok {
		return ""
	}
	for _, e := range c.cfg.Machine.EventsAfter(api.EndOf(old.Index-1), maxNoted).Events {
		if e.Cursor.Index > old.Index {
			break
		}
		var fact fsm.MembershipFact
		if e.Type == string(fsm.RaftTransfer) && e.Identity == actor(ctx) && json.Unmarshal(e.Data, &fact) == nil {
			return fact.Node
		}
	}
	return ""
}

// maxNoted bounds the events that are looked through for one of a certain entry.
const maxNoted = 1000

// RaftRemove takes a member out of the Raft group. Asked again under the same key it does
// nothing where that one is no member any more.
func (c *Control) RaftRemove(ctx context.Context, node api.NodeID, force bool, o api.WriteOptions) (*api.RaftMembers, error) {
	id, err := idem(actor(ctx), o, "raft_remove", map[string]any{"node": node, "force": force})
	if err != nil {
		return nil, err
	}
	list, err := c.cfg.Cluster.Members(ctx)
	if err != nil {
		return nil, err
	}
	if c.asked(id) && !slices.ContainsFunc(list.Members, func(m api.RaftMember) bool { return m.Node == node }) {
		return list, nil
	}
	if err := c.cfg.Cluster.Removable(node, force); err != nil {
		return nil, err
	}
	if o.DryRun {
		return list, nil
	}
	if err := c.note(ctx, fsm.NoteMembership{Idem: id, Change: fsm.RaftRemove, Node: node, Force: force}, o); err != nil {
		return nil, err
	}
	if err := c.cfg.Cluster.Remove(ctx, node, force, api.Dismissal{Actor: actor(ctx), Reason: o.Reason}); err != nil {
		return nil, err
	}
	return c.cfg.Cluster.Members(ctx)
}

// asked reports whether the very same was asked before, under its key.
func (c *Control) asked(id fsm.Idem) bool {
	old, ok := c.cfg.Machine.View().IdemKey(id.Scope, id.Key)
	return ok && id.Key != "" && old.Hash == id.Hash
}

// note commits who asked and why, before it is done.
func (c *Control) note(ctx context.Context, n fsm.NoteMembership, o api.WriteOptions) error {
	n.Actor, n.Reason = actor(ctx), o.Reason
	_, err := c.cfg.Decider.Submit(ctx, n)
	return err
}
