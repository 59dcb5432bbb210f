package leader

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/fsm"
)

const (
	// tickEvery moves cluster time when nothing else does, and is between two looks at what is
	// long over. While there is some, forgetAgain bounds the ticks of one look.
	tickEvery   = time.Second
	forgetAgain = 16
	// dueAtOnce bounds the leases of one proposal.
	dueAtOnce = 256
	// calm is the pause after a proposal that changed nothing.
	calm = 50 * time.Millisecond
	idle = time.Minute
	// cellFirst is how long after its time a lease is proposed to be advanced. Most cells end
	// theirs in time and say so meanwhile: that is one step less for each lease. Where much goes
	// on, what they say is longer under way.
	cellFirst     = 100 * time.Millisecond
	cellFirstBusy = 500 * time.Millisecond
)

// submit commits a command of the leader's own and reports whether it changed anything.
func (t *term) submit(ctx context.Context, what string, cmd fsm.Command) bool {
	res, err := t.duty(ctx, &job{cmd: cmd})
	if err != nil {
		if ctx.Err() == nil {
			t.log.Warn(what, "error", err)
		}
		return false
	}
	return res.Changed
}

// expire proposes what time makes due: expiry, bind timeouts, forced ends, and the end of
// what a silent cell must have given up by itself. Apply decides, from the entry's time.
func (t *term) expire(ctx context.Context) {
	m := t.cfg.Machine
	for ctx.Err() == nil {
		changed := m.Changed(fsm.TopicLeases)
		v, now := m.View(), t.now()
		late := cellFirst
		if v.Unbound() >= muchGoesOn {
			late = cellFirstBusy
		}
		if due := v.DueLeases(now-api.Tick(late), dueAtOnce); len(due) > 0 {
			if !t.submit(ctx, "advance leases", fsm.AdvanceLeases{Leases: due}) {
				sleep(ctx, nil, calm)
			}
			continue
		}
		until := idle
		if next, ok := v.NextDue(); ok {
			until = max(time.Duration(next-now)+late, time.Millisecond)
		}
		sleep(ctx, changed, until)
	}
}

// keepTime puts the refusals of the last second into the audit chain, moves cluster time when
// no entry does, and has the state forget what is long over: a grant makes it forget too, but
// uploads, tokens and renewals do not, and no load of theirs may keep a tick away.
func (t *term) keepTime(ctx context.Context) {
	for sleep(ctx, nil, tickEvery) {
		t.noteRefusals(ctx)
		for n := 0; n < forgetAgain && t.submit(ctx, "keep time", fsm.Tick{}); n++ {
			// It forgot as much as one entry may: there may be more.
		}
	}
}

func (t *term) noteRefusals(ctx context.Context) {
	refused := t.refused.take()
	if len(refused) == 0 {
		return
	}
	if _, err := t.duty(ctx, &job{cmd: fsm.NoteRefusals{Refusals: refused}}); err != nil {
		t.log.Warn("note refusals", "error", err)
		t.refused.putBack(refused)
	}
}

// barAgain is when a cell that could not be barred is tried again.
const barAgain = time.Second

// finishRevocations bars the identity of a cell that is being revoked once nothing of it
// is left.
func (t *term) finishRevocations(ctx context.Context) {
	t.tend(ctx, func(v *fsm.View) (revoking bool, pause time.Duration) {
		pause = idle
		for _, c := range v.CellsWhere(func(c *api.CellRecord) bool { return c.Revoking && !c.Revoked }) {
			revoking = true
			if v.LeaseCount(c.ID) == 0 && !t.submit(ctx, "bar cell", fsm.BarCell{Provider: c.Provider, Cell: c.ID}) {
				pause = barAgain
			}
		}
		return revoking, pause
	})
}

// tend looks at the cells until ctx ends: when one of them changes, when a lease does where look says
// that leases matter, and after the pause that it asks for.
func (t *term) tend(ctx context.Context, look func(v *fsm.View) (leases bool, pause time.Duration)) {
	m := t.cfg.Machine
	for ctx.Err() == nil {
		cells, leases := m.Changed(fsm.TopicCells), m.Changed(fsm.TopicLeases)
		matter, pause := look(m.View())
		if !matter {
			leases = nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-cells:
		case <-leases:
			sleep(ctx, nil, calm) // a busy cluster changes a lease at any moment
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

const (
	// retryAtOnce bounds the runs of one look, retryAmong those that it chooses from.
	retryAtOnce = 16
	retryAmong  = 4096
	retryPause  = time.Second
	minWait     = 30 * time.Second
)

// retryRuns places the runs again whose cell was lost and whose policy allows it. The state
// offers a run only when the lost cell must have stopped.
func (t *term) retryRuns(ctx context.Context) {
	m := t.cfg.Machine
	next := 0 // where the next look begins: those that fit nowhere do not keep the others waiting
	waiting := vigil{}
	for ctx.Err() == nil {
		changed := m.Changed(fsm.TopicRuns)
		pause := idle
		v := m.View()
		lost := v.LostRuns(retryAmong)
		waiting.keep(lost, t.cfg.Clock.Now())
		if all := len(lost); all > 0 {
			if lost = t.withoutSilent(v, lost, waiting); len(lost) < all {
				pause = retryPause
			}
		}
		n := min(len(lost), retryAtOnce)
		for i := range n {
			r := lost[(next+i)%len(lost)]
			if _, err := t.duty(ctx, &job{grant: again(r)}); err != nil && ctx.Err() == nil {
				t.log.Debug("run not placed again yet", "run_id", string(r.ID), "error", err)
				pause = retryPause
				t.giveUp(ctx, r, waiting.since(r), err)
			}
		}
		next += n
		if len(lost) > n {
			pause = retryPause
		}
		sleep(ctx, changed, pause)
	}
}

// withoutSilent leaves out the runs of providers in mass silence: their cells are more likely to be there
// than not, and capacity that seems short comes back with them. That is so for minWait: cells that stay
// silent are gone, and their runs have waited long enough.
func (t *term) withoutSilent(v *fsm.View, runs []api.Run, waiting vigil) []api.Run {
	silent := v.SilentProviders()
	return slices.DeleteFunc(runs, func(r api.Run) bool {
		return silent[r.Provider] > 0 && clock.Since(t.cfg.Clock, waiting.since(r)) < minWait
	})
}

// giveUp ends a run that could not be placed again for as long as it may take, and at least
// for minWait: nobody waits for ever. A new leader begins to count anew.
func (t *term) giveUp(ctx context.Context, r api.Run, since time.Time, refused error) {
	patience := max(time.Duration(r.TTLMs)*time.Millisecond, minWait)
	if clock.Since(t.cfg.Clock, since) < patience {
		return
	}
	t.submit(ctx, "give up a run", fsm.EndRun{
		Actor: "scheduler", Run: r.ID, State: api.RunLost,
		Reason: fmt.Sprintf("attempt %d was lost with its cell, and no cell took it again within %s: %v", r.Attempt, patience, refused),
	})
}

// vigil is since when this leader has seen runs wait for a place.
type vigil map[api.RunID]time.Time

func (v vigil) since(r api.Run) time.Time { return v[r.ID] }

// keep begins for those that are new, and forgets those that wait no more.
func (v vigil) keep(waiting []api.Run, now time.Time) {
	still := make(map[api.RunID]bool, len(waiting))
	for _, r := range waiting {
		still[r.ID] = true
		if _, known := v[r.ID]; !known {
			v[r.ID] = now
		}
	}
	for id := range v {
		if !still[id] {
			delete(v, id)
		}
	}
}

// again asks for the leases of a run's next attempt.
func again(r api.Run) *fsm.GrantLeases {
	g := &fsm.GrantLeases{
		Actor: "scheduler", Tenant: r.Tenant, Provider: r.Provider, Priority: r.Priority, TTLMs: r.TTLMs,
		Run: &r, Terms: r.Terms,
	}
	for _, k := range api.LeaseKinds() {
		if n := r.Resources.Get(k); n > 0 {
			g.Items = append(g.Items, fsm.GrantItem{Kind: k, Amount: n, Use: runUse(k)})
		}
	}
	return g
}

// runUse is how a run uses a lease of kind k.
func runUse(k api.LeaseKind) api.Use {
	if k == api.KindMem {
		return api.UseLinear
	}
	return ""
}
