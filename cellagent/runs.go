package cellagent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// tracked is one attempt of one run on this cell. Its fields are guarded by keeper.mu.
type tracked struct {
	run     api.Run
	started bool
	stop    context.CancelCauseFunc // of a started run
	// dead is closed when no process of the run is alive, or none will ever be.
	dead chan struct{}
	// ends are the ends of its leases, kept back until there is a result (C6).
	ends      []api.EndedReport
	word      *work.Word     // what is told to it; it begins with no deadline
	report    *api.RunReport // the result
	confirmed uint64         // the index at which the schedulers had its newest report
	forgotten bool
}

// stopError is why a run was stopped: the reason for which one of its leases ended.
type stopError struct{ reason string }

// Error returns the reason.
func (e *stopError) Error() string { return "stopped: " + e.reason }

// settle keeps the end of a lease back until the run has its result; true is that it has.
func (t *tracked) settle(r api.EndedReport) bool {
	if t.report != nil {
		return true
	}
	t.ends = append(t.ends, r)
	return false
}

// runOf returns the attempt that a lease is for, nil where none is tracked.
func (k *keeper) runOf(l api.Lease) *tracked {
	t, ok := k.runs[l.RunID]
	if !ok || !slices.Contains(t.run.LeaseIDs, l.ID) {
		return nil
	}
	return t
}

// reconcileRun does what is to be done about one desired run.
func (k *keeper) reconcileRun(ctx context.Context, r api.Run) {
	t, ok := k.runs[r.ID]
	s := runStanding{tracked: ok}
	if ok {
		s.attempt, s.decided = t.run.Attempt, t.report != nil
	}
	switch decideRun(r, r.CellID == k.cell, s) {
	case runNothing:
	case runTrack:
		k.track(r)
	case runLose:
		k.lose(ctx, k.track(r), reasonAgentRestarted)
	case runRepeat:
		if k.index > t.confirmed {
			k.outbox.putRun(*t.report)
		}
	case runForget:
		k.forget(t)
	}
}

// track begins to follow an attempt; an earlier one is forgotten.
func (k *keeper) track(r api.Run) *tracked {
	if old, ok := k.runs[r.ID]; ok {
		k.forget(old)
	}
	t := &tracked{run: r, word: work.NewWord(0), dead: make(chan struct{})}
	k.runs[r.ID] = t
	return t
}

// forget drops a run that the schedulers have closed, and stops what is left of it.
func (k *keeper) forget(t *tracked) {
	delete(k.runs, t.run.ID)
	t.forgotten = true
	switch {
	case t.started:
		t.stop(&stopError{reasonNotDesired})
	case t.report == nil:
		close(t.dead)
	}
	if t.report == nil {
		for _, e := range t.ends {
			k.outbox.putEnded(e, "")
		}
	}
}

// tryStart starts a run once all its leases are bound.
func (k *keeper) tryStart(ctx context.Context, id api.RunID) {
	t, ok := k.runs[id]
	if !ok || t.started || t.report != nil || k.closing {
		return
	}
	job := work.Job{
		Run: t.run.ID, Tenant: t.run.Tenant, Name: t.run.Tasklet, Profile: t.run.Profile,
		Module: t.run.Module, Fuel: t.run.Fuel, MaxOutput: api.MaxOutputBytes, MaxLog: api.MaxLogBytes, Word: t.word,
	}
	for _, lease := range t.run.LeaseIDs {
		h, ok := k.held[lease]
		if !ok || h.phase != phaseBound {
			return
		}
		if job.Deadline == 0 || h.deadline < job.Deadline {
			job.Deadline = h.deadline
		}
		switch h.lease.Kind {
		case api.KindMem:
			job.Memory = h.lease.Amount
		case api.KindCPU:
			job.CPU = h.lease.Amount
		case api.KindNet:
			if open, ok := h.open.(flowing); ok {
				job.Net = open.Net()
			}
		case api.KindBlock, api.KindGPU:
		}
	}
	if job.Deadline == 0 {
		return // a run without a lease has no time
	}
	t.word.Extend(job.Deadline)
	life := ctx
	job.Saved = func() { k.tasks.Go(func() { k.saved(life, t) }) }
	ctx, t.stop = context.WithCancelCause(life)
	t.started = true
	k.outbox.putRun(api.RunReport{RunID: t.run.ID, Attempt: t.run.Attempt, State: api.RunRunning})
	k.log.Info("run started", "run_id", t.run.ID, "tenant", t.run.Tenant, "attempt", t.run.Attempt)
	k.tasks.Go(func() { k.execute(ctx, life, t, job) })
}

// execute runs a tasklet to its end, gives its leases back and reports what became of it. ctx
// ends when the run is stopped, life with the agent.
func (k *keeper) execute(ctx, life context.Context, t *tracked, job work.Job) {
	out := k.workshop.run(ctx, t.run, job)
	if stopped, ok := errors.AsType[*stopError](context.Cause(ctx)); ok {
		out = stoppedOutcome(out, stopped.reason)
	}
	if job.Net != nil {
		used := job.Net.Usage()
		out.Net = &used
		k.log.Info("network of a run", "run_id", t.run.ID, "bytes_out", used.BytesOut, "bytes_in", used.BytesIn, "flows", used.Flows, "denied", used.Denied)
	}
	t.stop(nil)
	k.mu.Lock()
	close(t.dead)
	reason := reasonReleased
	if out.State == api.RunExpired {
		reason = reasonExpired // the worker's own timer was a moment faster than the agent's
	}
	k.release(life, t, reason)
	k.mu.Unlock()
	// Storing may need more time than the leases have; only the agent's own end cuts it off.
	deadline, _, _ := t.word.Now()
	report := k.workshop.result(life, t.run, out, deadline)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conclude(t, report)
}

// release ends whatever the run still holds.
func (k *keeper) release(ctx context.Context, t *tracked, reason string) {
	for _, id := range t.run.LeaseIDs {
		if h, ok := k.held[id]; ok && h.lease.RunID == t.run.ID {
			k.end(ctx, h, reason)
		}
	}
}

// conclude puts the result of a run and, with it, the ends of its leases.
func (k *keeper) conclude(t *tracked, r api.RunReport) {
	if t.report != nil || t.forgotten {
		return
	}
	t.report, t.confirmed = &r, 0
	k.outbox.putRun(r, t.ends...)
	t.ends = nil
	k.log.Info("run ended", "run_id", t.run.ID, "state", r.State, "exit_code", r.ExitCode,
		"duration_ms", r.DurationMs, "kind", r.Failure.Kind)
}

// stopRun is called when a lease of a run ends before the run.
func (k *keeper) stopRun(ctx context.Context, t *tracked, reason string) {
	if t.started {
		t.stop(&stopError{reason}) // the first reason counts
		return
	}
	k.lose(ctx, t, reason)
}

// lose concludes a run that never started here and never will.
func (k *keeper) lose(ctx context.Context, t *tracked, reason string) {
	if t.started || t.report != nil {
		return
	}
	close(t.dead)
	out := stoppedOutcome(work.Outcome{State: api.RunLost}, reason)
	k.conclude(t, api.RunReport{RunID: t.run.ID, Attempt: t.run.Attempt, State: out.State, Failure: out.Failure})
	k.release(ctx, t, reasonReleased)
}

// stoppedOutcome says what a run that was stopped for a reason ended as. One that ended by
// itself in the same moment keeps its own end.
func stoppedOutcome(out work.Outcome, reason string) work.Outcome {
	switch out.State {
	case api.RunSucceeded:
		return out
	case api.RunFailed:
		if out.Failure.Kind != api.WorkerLost {
			return out
		}
	case api.RunAdmitted, api.RunPlaced, api.RunRunning, api.RunExpired, api.RunRevoked, api.RunLost:
	}
	out.State, out.Failure = fate(reason)
	return out
}

// fate returns what the end of a lease, for that reason, makes of its run.
func fate(reason string) (api.RunState, api.Failure) {
	code, _, _ := strings.Cut(reason, ":")
	switch code {
	case reasonExpired:
		return api.RunExpired, api.Failure{Kind: api.DeadlineExceeded, Message: "the run reached its deadline: its leases ended before it did"}
	case reasonStaleStamp, reasonStaleEpoch, reasonStaleGeneration, reasonAgentRestarted, reasonAgentStopping, reasonBindFailed, reasonNotDesired, string(api.BindTimeout):
		return api.RunLost, api.Failure{Kind: api.WorkerLost, Message: "the cell could not run it: " + reason}
	}
	return api.RunRevoked, api.Failure{Kind: api.LeaseRevoked, Message: fmt.Sprintf("its leases were taken back: %s", reason)}
}
