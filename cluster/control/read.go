package control

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
)

// reading is the state that a read answers from, and what it says of its age.
type reading struct {
	*fsm.View
	fresh api.Freshness
}

// view returns the state that a read answers from. A blocking read waits until something of
// its answer changed after o.AfterIndex, and answers with what there is when nothing did.
func (c *Control) view(ctx context.Context, o api.ReadOptions, in interest) (reading, error) {
	switch o.Consistency {
	case "", api.Linearizable, api.Stale:
	default:
		return reading{}, api.Refuse(api.InvalidArgument, "consistency %q is not one of linearizable, stale", o.Consistency)
	}
	if o.AfterIndex > 0 && o.Wait > 0 {
		lost, err := c.fromLostState(ctx, o)
		if err != nil {
			return reading{}, err
		}
		if !lost {
			c.waitChange(ctx, o, in)
		}
	}
	if o.Consistency == api.Stale {
		// The age is taken first: the state is at least as new as that makes it.
		age := c.cfg.Cluster.Age()
		if o.MaxStale <= 0 || age >= 0 && age <= o.MaxStale {
			ms := age.Milliseconds()
			return reading{c.cfg.Machine.View(), api.Freshness{LastContactMs: &ms}}, nil
		}
	}
	v, err := c.cfg.Cluster.Read(ctx)
	return reading{View: v}, err
}

// fromLostState reports whether the index that a read was to wait behind is one that the
// cluster has not come to, as after a restore of an older state: whoever waited for it to be
// passed would see none of the changes until then. A stale read cannot know, and waits.
func (c *Control) fromLostState(ctx context.Context, o api.ReadOptions) (bool, error) {
	if o.Consistency == api.Stale || o.AfterIndex <= c.cfg.Machine.View().Index() {
		return false, nil
	}
	v, err := c.cfg.Cluster.Read(ctx) // or this scheduler is behind the one that told the index
	if err != nil {
		return false, err
	}
	return v.Index() < o.AfterIndex, nil
}

// sure holds a refusal that was decided on this node's own state back until it is known
// that the node still led: one that was deposed while it stood still would refuse what the
// new leader knows. What was committed needs no such doubt.
func (c *Control) sure(ctx context.Context, refused error) error {
	if !uncommitted(refused) {
		return refused
	}
	if err := c.led(ctx); err != nil {
		return err
	}
	return refused
}

// uncommitted reports whether a refusal is of a kind that is decided without a commit.
func uncommitted(refused error) bool {
	switch api.KindOf(refused) { //nolint:exhaustive // the others
	case api.RuntimeNotReady, api.NoEligibleProviderCells, api.PlacementFailed, api.QuotaExceeded, api.NotFound:
		return true
	}
	return false
}

// led refuses where this scheduler may not have led all the time until now.
func (c *Control) led(ctx context.Context) error {
	if _, err := c.cfg.Cluster.Read(ctx); err != nil {
		return err
	}
	if !c.cfg.Cluster.Leads() {
		return api.Refuse(api.NoLeader, "scheduler %s was deposed while it decided", c.cfg.Node)
	}
	return nil
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
	_, limit := c.timers()
	for i, r := range cell.Reasons {
		// The committed message is of the moment of the transition; the age goes on.
		if r.Code == "heartbeat_overdue" && sight.Age > limit {
			cell.Reasons[i].Message = "last heartbeat " + age(sight.Age) + " ago, limit " + age(limit)
		}
		if r.Code == "session_lost" && !sight.Session && sight.SessionAge > limit && sight.SessionAge != rumor.Never {
			cell.Reasons[i].Message = "last session ended " + age(sight.SessionAge) + " ago, limit " + age(limit)
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
	_, limit := c.timers()
	for i, r := range cell.Reasons {
		if r.Code == "heartbeat_overdue" {
			cell.LastSeen = r.Since.Add(-limit)
			cell.Reasons[i].Message = "last heartbeat " + age(c.cfg.Clock.Wall().Sub(cell.LastSeen)) + " ago, limit " + age(limit)
		}
	}
}

func age(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
