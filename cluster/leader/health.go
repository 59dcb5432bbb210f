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
	known map[api.CellID]*acquaintance
	flaps flaps
}

// acquaintance is one life of a cell, as long as this leader knows it.
type acquaintance struct {
	epoch       uint64
	since, seen time.Time
}

func newMemory() memory { return memory{known: map[api.CellID]*acquaintance{}, flaps: flaps{}} }

// meet returns since when this leader knows the cell's epoch.
func (m *memory) meet(c *api.CellRecord, now time.Time) time.Time {
	a, met := m.known[c.ID]
	if !met {
		a = &acquaintance{epoch: c.Epoch, since: now}
		m.known[c.ID] = a
	}
	if a.epoch != c.Epoch {
		a.epoch, a.since = c.Epoch, now
	}
	a.seen = now
	return a.since
}

// forget drops the cells that are not there any more.
func (m *memory) forget(now time.Time) {
	for id, a := range m.known {
		if a.seen != now {
			delete(m.known, id)
		}
	}
	m.flaps.forget(now)
}

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

// look is one cell of which there is something to say.
type look struct {
	was conditions
	is  verdict
	// fresh says that it fell silent within about a heartbeat: with those that did too it
	// fell silent at once.
	fresh bool
}

// conditions is what the state says of a cell that a verdict may differ from.
type conditions struct {
	cell     api.CellID
	provider api.ProviderID
	epoch    uint64
	verdict
}

// looks is the fleet at one moment. Most cells are as they were: nothing is kept of them but their number.
type looks struct {
	list          []look
	silent, total map[api.ProviderID]int // of cells that fell silent just now, and of these and those that are well
}

// verdicts judges every cell and returns what differs from the committed state.
func (t *term) verdicts() []fsm.HealthChange {
	wall := t.cfg.Clock.Wall()
	seen := t.look(t.cfg.Clock.Now(), wall)
	mass := seen.massSilence()
	var changes []fsm.HealthChange
	alarm := map[api.ProviderID]int{}
	for i := range seen.list {
		l := &seen.list[i]
		if l.fresh && mass[l.was.provider] {
			l.is.healthy.Code = massSilenceCode
		}
		c, changed := l.was.change(l.is, wall)
		if !changed {
			continue
		}
		if c.Healthy != nil && c.Healthy.Code == massSilenceCode {
			alarm[l.was.provider]++
		}
		changes = append(changes, c)
	}
	for p, n := range alarm {
		t.log.Error("mass silence: most cells of a provider fell silent at once", "provider", string(p), "cells", n)
	}
	return changes
}

// look judges every cell.
func (t *term) look(now, wall time.Time) looks {
	v := t.cfg.Machine.View()
	heartbeat, limit := api.FleetTimers(t.cfg.Heartbeat, t.cfg.Limit, v.CellCount())
	all := looks{silent: map[api.ProviderID]int{}, total: map[api.ProviderID]int{}}
	v.EachCell("", func(rec *api.CellRecord) {
		since := t.health.meet(rec, now)
		sight, seen := t.cfg.Sightings.Best(rec.ID, rec.Epoch)
		falls := t.health.flaps.see(rec, now)
		f := facts{
			rec: rec, sight: sight, seen: seen, silent: now.Sub(since),
			limit: limit, warmup: longer(t.cfg.Warmup, falls), falls: falls, wall: wall,
		}
		is := judge(f)
		fresh := is.healthy.Code == overdueCode && f.age() <= limit+2*heartbeat
		if fresh {
			all.silent[rec.Provider]++
		}
		if fresh || rec.Healthy.Met {
			all.total[rec.Provider]++
		}
		if was := committed(rec); fresh || was.differs(is) {
			all.list = append(all.list, look{was: was, is: is, fresh: fresh})
		}
	})
	t.health.forget(now)
	return all
}

// massSilence names the providers most of whose cells fell silent at once: the fault is more
// likely here or between than in all of them. They get no admissions either way.
func (l looks) massSilence() map[api.ProviderID]bool {
	mass := map[api.ProviderID]bool{}
	for p, n := range l.silent {
		mass[p] = n >= massCells && n*100 > l.total[p]*massShare
	}
	return mass
}

func committed(c *api.CellRecord) conditions {
	return conditions{c.ID, c.Provider, c.Epoch, verdict{c.IdentityBound, c.Healthy, c.Outbound}}
}

func (was *conditions) differs(is verdict) bool {
	return differs(was.identity, is.identity) || differs(was.healthy, is.healthy) || differs(was.outbound, is.outbound)
}

// change returns the transitions of one cell, stamped with the time for display.
func (was *conditions) change(is verdict, wall time.Time) (fsm.HealthChange, bool) {
	c := fsm.HealthChange{Cell: was.cell, Epoch: was.epoch}
	c.IdentityBound = transition(was.identity, is.identity, wall)
	c.Healthy = transition(was.healthy, is.healthy, wall)
	c.Outbound = transition(was.outbound, is.outbound, wall)
	return c, c.IdentityBound != nil || c.Healthy != nil || c.Outbound != nil
}

func transition(was, is api.Condition, wall time.Time) *api.Condition {
	if !differs(was, is) || was.Code == massSilenceCode && is.Code == overdueCode {
		return nil
	}
	is.Since = wall.UTC()
	return &is
}
