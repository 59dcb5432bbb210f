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
	// proveAgain is when a cell whose suite had no result is proved again, each time twice as late and at most
	// after proveMost: cells that never get a result leave the places to others.
	proveAgain = 30 * time.Second
	proveMost  = 10 * time.Minute
	// lookAgain is when the cells are looked at again where nothing changed, lookPause where they change all
	// the time.
	lookAgain = time.Minute
	lookPause = time.Second
)

// retries is when cells are proved again that had no result.
type retries struct {
	mu sync.Mutex
	of map[api.CellID]retry
}

type retry struct {
	at   time.Time // not before
	wait time.Duration
	runs bool
}

// begin takes a cell whose time has come, or returns when that is.
func (r *retries) begin(c api.CellID, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.of[c]
	if wait := next.at.Sub(now); next.runs || wait > 0 {
		return max(wait, lookPause)
	}
	if r.of == nil {
		r.of = map[api.CellID]retry{}
	}
	next.runs = true
	r.of[c] = next
	return 0
}

// end forgets a cell that has a result, and puts one off that has none.
func (r *retries) end(c api.CellID, now time.Time, result bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if result {
		delete(r.of, c)
		return
	}
	wait := min(max(2*r.of[c].wait, proveAgain), proveMost)
	r.of[c] = retry{at: now.Add(wait), wait: wait}
}

// tidy drops the cells whose time came long ago: they are gone, or need no proof any more.
func (r *retries) tidy(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, next := range r.of {
		if !next.runs && now.Sub(next.at) > 2*proveMost {
			delete(r.of, c)
		}
	}
}

// KeepConformant runs, while this node leads, the conformance suite against every cell that is marked
// production, takes leases but for that, and has no result for the agent that it has: once, when it has
// become ready. One that failed is left to whoever looks after it.
func (c *Control) KeepConformant(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, proveAtOnce)
	var again retries
	for ctx.Err() == nil {
		changed, moved := c.cfg.Machine.Changed(fsm.TopicCells), c.cfg.Cluster.LeaderMoved()
		pause := lookAgain
		if c.cfg.Cluster.Leads() {
			pause = c.proveNext(ctx, &again, slots, &running)
		}
		await(ctx, lookPause, nil, nil)
		await(ctx, pause-lookPause, changed, moved)
	}
}

// await waits, at most until one of two things happens.
func await(ctx context.Context, most time.Duration, a, b <-chan struct{}) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-a:
	case <-b:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// proveNext begins the suites that there are places for, and returns when to look again.
func (c *Control) proveNext(ctx context.Context, again *retries, slots chan struct{}, running *sync.WaitGroup) time.Duration {
	pause, now := lookAgain, c.cfg.Clock.Now()
	again.tidy(now)
	for _, rec := range c.unproven() {
		select {
		case slots <- struct{}{}:
		default:
			return lookPause
		}
		if wait := again.begin(rec.ID, now); wait > 0 {
			<-slots
			pause = min(pause, wait)
			continue
		}
		running.Go(func() {
			defer func() { <-slots }()
			result := c.proveByItself(ctx, rec)
			again.end(rec.ID, c.cfg.Clock.Now(), result)
		})
	}
	return pause
}

// unproven lists the cells that could be proved now, and have no result.
func (c *Control) unproven() []api.CellRecord {
	v := c.cfg.Machine.View()
	var list []api.CellRecord
	for _, rec := range v.Unrated() {
		if takes(v, rec) == nil {
			list = append(list, rec)
		}
	}
	return list
}

// proveByItself reports whether there is a result.
func (c *Control) proveByItself(ctx context.Context, rec api.CellRecord) bool {
	ctx = api.WithCaller(ctx, api.Caller{Role: api.RoleScheduler, Name: string(c.cfg.Node)})
	for step, err := range c.ConformCell(ctx, rec.Provider, rec.ID, api.WriteOptions{}) {
		switch {
		case err != nil && ctx.Err() == nil:
			c.log.Warn("conformance suite without a result", "cell_id", string(rec.ID), "error", err)
		case err != nil:
		case step.Report != nil && step.Report.Passed:
			c.log.Info("conformance suite passed", "cell_id", string(rec.ID), "checks", step.Report.Checks, "took_ms", step.Report.TookMs)
			return true
		case step.Report != nil:
			c.log.Error("conformance suite failed: the cell takes no leases", "cell_id", string(rec.ID), "failed", len(step.Report.Failed))
			return true
		}
	}
	return false
}
