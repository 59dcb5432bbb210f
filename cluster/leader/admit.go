package leader

import (
	"context"
	"slices"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/placement"
)

// Admit places g on the best cell of its provider, commits it and returns the result. The
// command comes without epoch, stamp and lease ids, and without a cell, unless it has to be that one. A refusal carries its evidence.
// While the only thing that is missing is a heartbeat, as for a moment after a fail-over, it
// waits for one instead of refusing.
func (l *Leader) Admit(ctx context.Context, g fsm.GrantLeases) (fsm.Result, error) {
	results, errs := l.AdmitAll(ctx, []fsm.GrantLeases{g})
	return results[0], errs[0]
}

// AdmitAll is Admit for many at once, each decided on its own: for each its result or its error.
func (l *Leader) AdmitAll(ctx context.Context, gs []fsm.GrantLeases) ([]fsm.Result, []error) {
	results, errs := make([]fsm.Result, len(gs)), make([]error, len(gs))
	todo := make([]int, len(gs))
	for i := range todo {
		todo[i] = i
	}
	for began := l.cfg.Clock.Now(); ; {
		t := l.term.Load()
		if t == nil {
			for _, at := range todo {
				errs[at] = errNotLeading()
			}
			break
		}
		heard, looked := l.cfg.Sightings.Heard(), l.cfg.Clock.Now()
		todo = t.admit(ctx, gs, todo, results, errs)
		left := stampHold - clock.Since(l.cfg.Clock, began)
		if len(todo) == 0 || left <= 0 || !t.hear(ctx, heard, left) ||
			!sleep(ctx, t.over, stampPause-clock.Since(l.cfg.Clock, looked)) {
			break
		}
	}
	l.noteRefusals(gs, errs)
	return results, errs
}

// admit has those decided that todo names, and returns those that lack a heartbeat only.
func (t *term) admit(ctx context.Context, gs []fsm.GrantLeases, todo []int, results []fsm.Result, errs []error) (again []int) {
	list, jobs := make([]job, len(todo)), make([]*job, len(todo))
	for i, at := range todo {
		list[i].grant = &gs[at]
		jobs[i] = &list[i]
	}
	for i, a := range t.do(ctx, jobs...) {
		at := todo[i]
		if results[at], errs[at] = a.split(); unheard(errs[at]) {
			again = append(again, at)
		}
	}
	return again
}

func (l *Leader) noteRefusals(gs []fsm.GrantLeases, errs []error) {
	t := l.term.Load()
	if t == nil {
		return
	}
	for i, err := range errs {
		if err != nil {
			t.refused.note(gs[i].Tenant, api.KindOf(err), gs[i].Provider)
		}
	}
}

// hear waits for news of the cells, for d at most, and reports whether ctx is still alive. The
// end of the term is news too.
func (t *term) hear(ctx context.Context, heard <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-heard:
	case <-t.over:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

const (
	// stampHold is how long an admission waits for a heartbeat. It looks again when one came
	// of a cell that had none; while many come, as after a fail-over, not more often than
	// every stampPause.
	stampHold  = 3 * time.Second
	stampPause = 20 * time.Millisecond
)

// unheard reports whether err refuses for want of a fresh heartbeat only.
func unheard(err error) bool {
	e, ok := api.AsError(err)
	if !ok || e.Kind != api.PlacementFailed {
		return false
	}
	return slices.ContainsFunc(e.Candidates, func(c api.Candidate) bool {
		return len(c.Vetoes) == 1 && c.Vetoes[0].Code == placement.HeartbeatUnknown
	})
}
