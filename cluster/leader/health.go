package leader

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/fsm"
)

const (
	// massShare (percent) and massCells: when so many cells of a provider fall silent at
	// once, the scheduler suspects itself.
	massShare = 55
	massCells = 10
	// healthBatch bounds the cells of one proposal.
	healthBatch = 256
	askTimeout  = 500 * time.Millisecond
)

// memory is what the health loop keeps between looks: since when each cell's epoch is
// known to this leader, and which cells come and go.
type memory struct {
	since map[cellEpoch]time.Time
	flaps flaps
}

type cellEpoch struct {
	cell  api.CellID
	epoch uint64
}

func newMemory() memory { return memory{since: map[cellEpoch]time.Time{}, flaps: flaps{}} }

// watchCells compares what the schedulers saw with what is committed, and commits the
// transitions. A cell loses its health only when the leader has just verified that it
// leads and no reachable scheduler has a fresher sighting.
func (t *term) watchCells(ctx context.Context) {
	every := min(max(t.cfg.Heartbeat/2, 50*time.Millisecond), time.Second)
	for sleep(ctx, nil, every) {
		changes := t.verdicts()
		if loses(changes) && !mutant.On(mutant.GossipVerdict) {
			if err := t.confirm(ctx); err != nil {
				t.log.Warn("cells not judged: this leader cannot be sure that it leads", "error", err)
				continue
			}
			changes = t.verdicts()
		}
		for len(changes) > 0 {
			n := min(len(changes), healthBatch)
			t.submit(ctx, "change health", fsm.ChangeHealth{Changes: changes[:n]})
			changes = changes[n:]
		}
	}
}

func (t *term) confirm(ctx context.Context) error {
	t.ask(ctx)
	return t.cfg.Node.Verify(ctx)
}

// ask brings in what the other schedulers saw.
func (t *term) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	t.cfg.Ask(ctx)
}

// loses reports whether a change takes a requirement away.
func loses(changes []fsm.HealthChange) bool {
	for _, c := range changes {
		for _, is := range []*api.Condition{c.Healthy, c.Outbound} {
			if is != nil && !is.Met && is.Code != warmingCode {
				return true
			}
		}
	}
	return false
}

// look is one cell at one moment.
type look struct {
	rec api.CellRecord
	is  verdict
	// fresh says that it fell silent within about a heartbeat: with those that did too it
	// fell silent at once.
	fresh bool
}

// verdicts judges every cell and returns what differs from the committed state.
func (t *term) verdicts() []fsm.HealthChange {
	wall := t.cfg.Clock.Wall()
	looks := t.look(t.cfg.Clock.Now(), wall)
	mass := massSilence(looks)
	var changes []fsm.HealthChange
	alarm := map[api.ProviderID]int{}
	for _, l := range looks {
		if l.fresh && mass[l.rec.Provider] {
			l.is.healthy.Code = massSilenceCode
		}
		c, changed := change(l.rec, l.is, wall)
		if !changed {
			continue
		}
		if c.Healthy != nil && c.Healthy.Code == massSilenceCode {
			alarm[l.rec.Provider]++
		}
		changes = append(changes, c)
	}
	for p, n := range alarm {
		t.log.Error("mass silence: most cells of a provider fell silent at once", "provider", string(p), "cells", n)
	}
	return changes
}

// look judges every cell.
func (t *term) look(now, wall time.Time) []look {
	known := make(map[cellEpoch]time.Time, len(t.health.since))
	var looks []look
	heartbeat, limit := api.FleetTimers(t.cfg.Heartbeat, t.cfg.Limit, t.cfg.Machine.View().CellCount())
	for _, rec := range t.cfg.Machine.View().Cells("") {
		key := cellEpoch{rec.ID, rec.Epoch}
		since, ok := t.health.since[key]
		if !ok {
			since = now
		}
		known[key] = since
		sight, seen := t.cfg.Sightings.Best(rec.ID, rec.Epoch)
		falls := t.health.flaps.see(rec, now)
		f := facts{
			rec: rec, sight: sight, seen: seen, silent: now.Sub(since),
			limit: limit, warmup: longer(t.cfg.Warmup, falls), falls: falls, wall: wall,
		}
		is := judge(f)
		looks = append(looks, look{
			rec: rec, is: is,
			fresh: is.healthy.Code == overdueCode && f.age() <= limit+2*heartbeat,
		})
	}
	t.health.since = known
	t.health.flaps.forget(now)
	return looks
}

// massSilence names the providers most of whose cells fell silent at once: the fault is more
// likely here or between than in all of them. They get no admissions either way.
func massSilence(looks []look) map[api.ProviderID]bool {
	silent, total := map[api.ProviderID]int{}, map[api.ProviderID]int{}
	for _, l := range looks {
		if l.fresh {
			silent[l.rec.Provider]++
		}
		if l.fresh || l.rec.Healthy.Met {
			total[l.rec.Provider]++
		}
	}
	mass := map[api.ProviderID]bool{}
	for p, n := range silent {
		mass[p] = n >= massCells && n*100 > total[p]*massShare
	}
	return mass
}

// change returns the transitions of one cell, stamped with the time for display.
func change(rec api.CellRecord, is verdict, wall time.Time) (fsm.HealthChange, bool) {
	c := fsm.HealthChange{Cell: rec.ID, Epoch: rec.Epoch}
	c.IdentityBound = transition(rec.IdentityBound, is.identity, wall)
	c.Healthy = transition(rec.Healthy, is.healthy, wall)
	c.Outbound = transition(rec.Outbound, is.outbound, wall)
	return c, c.IdentityBound != nil || c.Healthy != nil || c.Outbound != nil
}

func transition(was, is api.Condition, wall time.Time) *api.Condition {
	if !differs(was, is) || was.Code == massSilenceCode && is.Code == overdueCode {
		return nil
	}
	is.Since = wall.UTC()
	return &is
}
