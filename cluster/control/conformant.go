package control

import (
	"context"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

const (
	// proveAtOnce bounds the suites that run by themselves; those that are asked for have room beside.
	proveAtOnce = maxSuites / 2
	// proveAgain is when a cell whose suite had no result is proved again, lookAgain when the cells are looked
	// at again where nothing changed.
	proveAgain = 30 * time.Second
	lookAgain  = time.Minute
)

// KeepConformant runs, while this node leads, the conformance suite against every cell that is marked
// production, takes leases but for that, and has no result for the agent that it has: once, when it has
// become ready. One that failed is left to whoever looks after it.
func (c *Control) KeepConformant(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, proveAtOnce)
	again := map[api.CellID]time.Time{} // not before
	for ctx.Err() == nil {
		changed, moved := c.cfg.Machine.Changed(fsm.TopicCells), c.cfg.Cluster.LeaderMoved()
		pause := lookAgain
		if c.cfg.Cluster.Leads() {
			now := c.cfg.Clock.Now()
			for _, rec := range c.unproven() {
				if wait := again[rec.ID].Sub(now); wait > 0 {
					pause = min(pause, wait)
					continue
				}
				select {
				case slots <- struct{}{}:
				default:
					pause = min(pause, time.Second)
					continue
				}
				again[rec.ID] = now.Add(proveAgain)
				running.Go(func() {
					defer func() { <-slots }()
					c.proveByItself(ctx, rec)
				})
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-changed:
		case <-moved:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// unproven lists the cells that could be proved now, and have no result.
func (c *Control) unproven() []api.CellRecord {
	v := c.cfg.Machine.View()
	var list []api.CellRecord
	for _, rec := range v.Cells("") {
		if v.Unproven(rec) && rec.Conformance() == api.ConformanceNone && takes(v, rec) == nil {
			list = append(list, rec)
		}
	}
	return list
}

func (c *Control) proveByItself(ctx context.Context, rec api.CellRecord) {
	ctx = api.WithCaller(ctx, api.Caller{Role: api.RoleScheduler, Name: string(c.cfg.Node)})
	for step, err := range c.ConformCell(ctx, rec.Provider, rec.ID, api.WriteOptions{}) {
		switch {
		case err != nil && ctx.Err() == nil:
			c.log.Warn("conformance suite without a result", "cell_id", string(rec.ID), "error", err)
		case step.Report != nil && step.Report.Passed:
			c.log.Info("conformance suite passed", "cell_id", string(rec.ID), "checks", step.Report.Checks, "took_ms", step.Report.TookMs)
		case step.Report != nil:
			c.log.Error("conformance suite failed: the cell takes no leases", "cell_id", string(rec.ID), "failed", len(step.Report.Failed))
		}
	}
}
