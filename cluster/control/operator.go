package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// maxAuditPage bounds the records of one page.
const maxAuditPage = 1000

// AuditRecords reads the audit chain, from this node's own copy of it.
func (c *Control) AuditRecords(ctx context.Context, f api.AuditFilter, o api.ReadOptions) (*api.AuditPage, error) {
	v, err := c.view(ctx, o, c.oneOf(fsm.TopicEvents)) // every record is an event too
	if err != nil {
		return nil, err
	}
	if f.Limit <= 0 || f.Limit > maxAuditPage {
		f.Limit = maxAuditPage
	}
	records, next, err := c.cfg.Audit.Read(f)
	if _, missing := errors.AsType[recordsMissing](err); missing {
		return nil, api.Refuse(api.NoLeader, "scheduler %s has not fetched the whole audit chain yet: %v", c.cfg.Node, err).
			WithHint("ask another scheduler, or again in a moment")
	}
	if err != nil {
		return nil, fmt.Errorf("read audit chain: %w", err)
	}
	if records == nil {
		records = []api.AuditRecord{}
	}
	return &api.AuditPage{Index: v.Index(), Head: v.AuditHead(), Records: records, Next: next, Freshness: v.fresh}, nil
}

// recordsMissing is what a store says of records that it does not hold, and another one does.
type recordsMissing interface {
	error
	Missing() (from, to uint64)
}

// Sessions counts the sessions of cells that this scheduler holds.
func (c *Control) Sessions() int { return c.sessions.count() }

// NodeState says what this scheduler is, to an operator with the invariants that are broken.
func (c *Control) NodeState(ctx context.Context) (*api.NodeState, error) {
	st := c.cfg.Cluster.State()
	st.Sessions = c.Sessions()
	if api.CallerFrom(ctx).Role != api.RoleOperator {
		st.Fingerprints = nil // consoles ask often, and have no use for them
		return &st, nil
	}
	st.Broken, st.CheckedIndex = c.invariants.broken(c.cfg.Machine.View())
	return &st, nil
}

// Schedulers lists the members of the Raft group. It answers without a leader too.
func (c *Control) Schedulers(context.Context) (*api.SchedulerList, error) {
	st := c.cfg.Cluster.State()
	list := &api.SchedulerList{Index: st.AppliedIndex, Leader: st.Leader, Term: st.Term, Schedulers: st.Peers}
	if list.Schedulers == nil {
		list.Schedulers = []api.Peer{}
	}
	return list, nil
}

// debugEvents bounds the events of a report.
const debugEvents = 1000

// Debug is everything that this scheduler can say of itself.
func (c *Control) Debug(ctx context.Context) (*api.DebugReport, error) {
	st, err := c.NodeState(ctx)
	if err != nil {
		return nil, err
	}
	r := &api.DebugReport{State: *st, Raft: c.cfg.Cluster.Stats(), Events: c.newest(debugEvents)}
	if c.cfg.Process != nil {
		r.Process = c.cfg.Process()
	}
	return r, nil
}

// newest returns the newest events that are held.
func (c *Control) newest(limit int) []api.Event {
	events := []api.Event{}
	var after api.Cursor
	for {
		page := c.cfg.Machine.EventsAfter(after, limit).Events
		if len(page) == 0 {
			return events
		}
		after = page[len(page)-1].Cursor
		events = append(events, page...)
		events = events[max(0, len(events)-limit):]
	}
}
