package control

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// view returns the state that a read answers from. A blocking read waits until one of the
// topics changed after o.AfterIndex, at most o.Wait, and answers with what there is.
func (c *Control) view(ctx context.Context, o api.ReadOptions, topics ...fsm.Topic) (*fsm.View, error) {
	switch o.Consistency {
	case "", api.Linearizable, api.Stale:
	default:
		return nil, api.Refuse(api.InvalidArgument, "consistency %q is not one of linearizable, stale", o.Consistency)
	}
	if o.AfterIndex > 0 && o.Wait > 0 {
		c.waitChange(ctx, o, topics)
	}
	if o.Consistency == api.Stale {
		return c.cfg.Machine.View(), nil
	}
	return c.cfg.Cluster.Read(ctx)
}

// waitChange waits for the first change of any of at most two topics.
func (c *Control) waitChange(ctx context.Context, o api.ReadOptions, topics []fsm.Topic) {
	timer := time.NewTimer(min(o.Wait, api.MaxWait))
	defer timer.Stop()
	for {
		var changed [2]<-chan struct{} // one that is not asked for never fires
		for i, t := range topics {
			changed[i] = c.cfg.Machine.Changed(t)
		}
		for _, t := range topics {
			if c.cfg.Machine.LastChange(t) > o.AfterIndex {
				return
			}
		}
		select {
		case <-changed[0]:
		case <-changed[1]:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// sure holds a refusal that was decided on this node's own state back until it is known
// that the node still led: one that was deposed while it stood still would refuse what the
// new leader knows. What was committed needs no such doubt.
func (c *Control) sure(ctx context.Context, refused error) error {
	switch api.KindOf(refused) { //nolint:exhaustive // the kinds that are decided without a commit
	case api.RuntimeNotReady, api.NoEligibleProviderCells, api.PlacementFailed, api.QuotaExceeded, api.NotFound:
	default:
		return refused
	}
	if _, err := c.cfg.Cluster.Read(ctx); err != nil {
		return err
	}
	if !c.cfg.Cluster.Leads() {
		return api.Refuse(api.NoLeader, "scheduler %s was deposed while it decided", c.cfg.Node)
	}
	return refused
}

// show is a cell as users see it: its record with what this scheduler knows of its life.
func (c *Control) show(v *fsm.View, rec api.CellRecord) api.Cell {
	cell := v.Show(rec)
	sight, seen := c.cfg.Sightings.Best(rec.ID, rec.Epoch)
	if !seen {
		c.longGone(&cell)
		return cell
	}
	cell.LastSeen = c.cfg.Clock.Wall().Add(-sight.Age).UTC()
	if sight.Session {
		cell.Session = sight.Holder
	}
	for i, r := range cell.Reasons {
		// The committed message is of the moment of the transition; the age goes on.
		if r.Code == "heartbeat_overdue" && sight.Age > c.cfg.Limit {
			cell.Reasons[i].Message = "last heartbeat " + age(sight.Age) + " ago, limit " + age(c.cfg.Limit)
		}
		if r.Code == "warming_up" && sight.Steady < c.cfg.Warmup {
			cell.Reasons[i].Message = age(sight.Steady) + " of " + age(c.cfg.Warmup) + " of steady heartbeats"
		}
	}
	return cell
}

// longGone dates the silence of a cell whose last heartbeat no scheduler remembers any more,
// by when it was found overdue.
func (c *Control) longGone(cell *api.Cell) {
	for i, r := range cell.Reasons {
		if r.Code == "heartbeat_overdue" {
			cell.LastSeen = r.Since.Add(-c.cfg.Limit)
			cell.Reasons[i].Message = "last heartbeat " + age(c.cfg.Clock.Wall().Sub(cell.LastSeen)) + " ago, limit " + age(c.cfg.Limit)
		}
	}
}

func age(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
