package leader

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
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
// known to this leader.
type memory struct{ since map[cellEpoch]time.Time }

type cellEpoch struct {
	cell  api.CellID
	epoch uint64
}

func newMemory() memory { return memory{since: map[cellEpoch]time.Time{}} }

// watchCells compares what the schedulers saw with what is committed, and commits the
// transitions. A cell loses its health only when the leader has just verified that it
// leads and no reachable scheduler has a fresher sighting.
func (t *term) watchCells(ctx context.Context) {
	every := min(max(t.cfg.Heartbeat/2, 50*time.Millisecond), time.Second)
	for sleep(ctx, nil, every) {
		changes := t.verdicts()
		if loses(changes) {
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
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	t.cfg.Ask(ask)
	return t.cfg.Node.Verify(ctx)
}

// loses reports whether a change takes a requirement away.
func loses(changes []fsm.HealthChange) bool {
	for _, c := range changes {
		for _, is := range []*api.Condition{c.Healthy, c.Outbound} {
			if is != nil && !is.Met && is.Code != "warming_up" {
				return true
			}
		}
	}
	return false
}

// verdicts judges every cell and returns what differs from the committed state.
func (t *term) verdicts() []fsm.HealthChange {
	v, now := t.cfg.Machine.View(), time.Now()
	known := make(map[cellEpoch]time.Time, len(t.health.since))
	var changes []fsm.HealthChange
	silent, total := map[api.ProviderID]int{}, map[api.ProviderID]int{}
	providers := map[api.CellID]api.ProviderID{}
	for _, rec := range v.Cells("") {
		key := cellEpoch{rec.ID, rec.Epoch}
		since, ok := t.health.since[key]
		if !ok {
			since = now
		}
		known[key] = since
		sight, seen := t.cfg.Sightings.Best(rec.ID, rec.Epoch)
		is := judge(facts{
			rec: rec, sight: sight, seen: seen, silent: now.Sub(since),
			limit: t.cfg.Limit, warmup: t.cfg.Warmup, wall: now,
		})
		providers[rec.ID] = rec.Provider
		if rec.Healthy.Met {
			total[rec.Provider]++
			if is.healthy.Code == "heartbeat_overdue" {
				silent[rec.Provider]++
			}
		}
		if c, changed := change(rec, is, now); changed {
			changes = append(changes, c)
		}
	}
	t.health.since = known
	t.suspect(changes, providers, silent, total)
	return changes
}

// suspect marks the cells of a provider that fell silent all at once: the fault is more
// likely here or between than in all of them. They get no admissions either way.
func (t *term) suspect(changes []fsm.HealthChange, providers map[api.CellID]api.ProviderID, silent, total map[api.ProviderID]int) {
	for _, c := range changes {
		p := providers[c.Cell]
		if c.Healthy == nil || c.Healthy.Code != "heartbeat_overdue" {
			continue
		}
		if silent[p] >= massCells && silent[p]*100 > total[p]*massShare {
			c.Healthy.Code = "mass_silence"
			t.log.Error("mass silence: most cells of a provider fell silent at once", "provider", string(p), "silent", silent[p], "healthy", total[p])
		}
	}
}

// change returns the transitions of one cell, stamped with the time for display.
func change(rec api.CellRecord, is verdict, now time.Time) (fsm.HealthChange, bool) {
	c := fsm.HealthChange{Cell: rec.ID, Epoch: rec.Epoch}
	c.IdentityBound = transition(rec.IdentityBound, is.identity, now)
	c.Healthy = transition(rec.Healthy, is.healthy, now)
	c.Outbound = transition(rec.Outbound, is.outbound, now)
	return c, c.IdentityBound != nil || c.Healthy != nil || c.Outbound != nil
}

func transition(was, is api.Condition, now time.Time) *api.Condition {
	if !differs(was, is) || was.Code == "mass_silence" && is.Code == "heartbeat_overdue" {
		return nil
	}
	is.Since = now.UTC()
	return &is
}
