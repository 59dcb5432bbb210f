package cellagent

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

const (
	// reportBoundLeast and reportBoundMost bound how long one report may be under way. It is
	// a part of the heartbeat limit, so that a report that waits for a leader does not hold
	// back the sign of life that the next one carries.
	reportBoundLeast = time.Second
	reportBoundMost  = 5 * time.Second
	// reportFailures is after how many failed reports in a row another session is tried, and
	// reportParts the parts of the heartbeat limit of which one report may take one: a pause
	// between two heartbeats and two reports into a scheduler that hangs leave time to be
	// heard elsewhere within the limit, so that no cell is unready for it.
	reportFailures = 2
	reportParts    = 4
)

// reporter says everything that goes up, with one report in flight: what becomes ready
// meanwhile goes into the next one. While that would be full already, it goes beside: a cell that
// much happens on would otherwise wait for a commit, and make no tokens meanwhile, and make tokens,
// and commit nothing meanwhile.
type reporter struct {
	provider api.ProviderID
	cell     api.CellID
	clock    Clock
	beacon   *beacon
	outbox   *outbox
	// bind makes the reports of bindings, with fresh tokens, and names those that are not bound.
	bind func([]api.LeaseID) ([]api.BoundReport, []api.LeaseID)
	// stuck says what does not move although it should.
	stuck func() string
	// settled is told what a report's answer confirmed.
	settled func(r api.Report, a *api.ReportAnswer)
	failed  chan<- sessionError
	log     hclog.Logger

	timers  atomic.Pointer[timers]
	seq     uint64
	limit   int         // items a list; less while a report is refused as a whole
	cut     uint64      // the last report that was sent before limit became less
	aloft   int         // reports in flight
	landed  chan flight // those that are no longer
	resting bool        // a report failed: the next one goes when the pause is over
}

// inFlight bounds the reports under way.
const inFlight = 2

// flight is a report under way, and what came of it.
type flight struct {
	watch   *watch
	report  api.Report
	carried sent
	answer  *api.ReportAnswer
	err     error
}

// timers are those of the registration.
type timers struct {
	epoch     uint64
	heartbeat time.Duration
	bound     time.Duration // of one report
}

func timersOf(a *api.RegisterAnswer) *timers {
	ms := func(n int64, or time.Duration) time.Duration {
		if n <= 0 {
			return or
		}
		return time.Duration(n) * time.Millisecond
	}
	limit := ms(a.LimitMs, 15*time.Second)
	return &timers{
		epoch:     a.Epoch,
		heartbeat: ms(a.HeartbeatMs, 5*time.Second),
		bound:     min(max(limit/reportParts, reportBoundLeast), reportBoundMost),
	}
}

// retime takes the timers that a session tells of, if it does: the fleet has grown, or shrunk.
func (r *reporter) retime(set api.Desired) {
	was := r.timers.Load()
	if set.HeartbeatMs <= 0 || was == nil {
		return
	}
	r.timers.Store(timersOf(&api.RegisterAnswer{Epoch: was.epoch, HeartbeatMs: set.HeartbeatMs, LimitMs: set.LimitMs}))
}

// heartbeat is how often it reports.
func (r *reporter) heartbeat() time.Duration {
	if t := r.timers.Load(); t != nil {
		return t.heartbeat
	}
	return 0
}

// run reports until ctx ends.
func (r *reporter) run(ctx context.Context) {
	beat := time.NewTimer(0)
	defer beat.Stop()
	r.limit, r.landed = api.MaxReportItems, make(chan flight, inFlight)
	defer func() {
		for ; r.aloft > 0; r.aloft-- {
			<-r.landed // they end with ctx
		}
	}()
	retry, failures, counted := newRetry(), 0, uint64(0)
	for ctx.Err() == nil {
		w, changed := r.beacon.see()
		wake, due := r.outbox.wake, beat.C
		if w == nil || r.resting {
			wake = nil
		}
		if w == nil || r.aloft > 0 && !r.resting {
			due = nil // a report is the heartbeat too
		}
		select {
		case <-ctx.Done():
		case <-changed:
			beat.Reset(0) // a new session hears everything at once
			retry.Reset()
			failures, r.resting = 0, false
		case <-wake:
			if r.outbox.waits() && (r.aloft == 0 || r.another()) {
				r.start(ctx, w, r.aloft == 0)
			} // or it is seen when a report lands
		case <-due:
			r.resting = false
			r.start(ctx, w, true)
		case f := <-r.landed:
			r.aloft--
			err := r.land(f)
			if err == nil {
				failures, r.resting = 0, false
				retry.Reset()
				beat.Reset(r.timers.Load().heartbeat)
			}
			switch {
			case f.watch != w: // of the session before: no failure of this one, which may have heard nothing yet
				beat.Reset(0)
				continue
			case err == nil:
				continue
			}
			// What was under way when one failed is the same failure.
			if seq := f.report.Heartbeat.Seq; !poisoned(err) && seq > counted {
				failures++
				counted = r.seq
			}
			if failures >= reportFailures || fatal(err) != nil {
				r.fail(ctx, sessionError{watch: f.watch, err: err})
				failures = 0
			}
			r.resting = true
			beat.Reset(retry.NextBackOff())
		}
	}
}

// another reports whether a report may go beside those in flight: it must be full, and none of
// them refused as a whole.
func (r *reporter) another() bool {
	return r.aloft < inFlight && r.limit == api.MaxReportItems && r.outbox.full()
}

func (r *reporter) fail(ctx context.Context, f sessionError) {
	select {
	case r.failed <- f:
	case <-f.watch.over: // it has ended anyway
	case <-ctx.Done():
	}
}

// start makes one report and sends it on a session, with which it ends. One that is no heartbeat goes
// beside another: where all that waits must not overtake what that one carries, there is nothing to send.
func (r *reporter) start(ctx context.Context, w *watch, heartbeat bool) {
	timers := r.timers.Load()
	f := flight{watch: w}
	f.report, f.carried = r.outbox.compose(r.limit, r.bind)
	if f.carried.items() == 0 && !heartbeat {
		return
	}
	r.seq++
	f.report.Epoch = timers.epoch
	f.report.Heartbeat = &api.Heartbeat{Seq: r.seq, Stamp: stampOf(r.clock), Stuck: r.stuck()}
	r.aloft++
	go func() {
		ctx, cancel := context.WithTimeout(ctx, timers.bound)
		defer cancel()
		ctx, stop := until(ctx, w.over)
		defer stop()
		f.answer, f.err = w.fabric.Report(ctx, r.provider, r.cell, f.report)
		r.landed <- f // it has room
	}()
	if r.outbox.full() {
		r.outbox.signal()
	}
}

// land settles what a report's answer confirms.
func (r *reporter) land(f flight) error {
	if f.err != nil {
		return r.refused(f)
	}
	for _, refusal := range f.answer.Refused {
		r.log.Warn("report refused", "lease_id", refusal.LeaseID, "run_id", refusal.RunID,
			"kind", refusal.Kind, "detail", refusal.Detail)
	}
	r.settled(f.report, f.answer)
	r.outbox.settle(f.carried)
	if f.report.Heartbeat.Seq > r.cut {
		r.limit = api.MaxReportItems
	}
	if r.outbox.waits() {
		r.outbox.signal()
	}
	return nil
}

// until returns ctx, ended also by over, and the function that ends it and waits for what it
// started.
func until(ctx context.Context, over <-chan struct{}) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-over:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel()
		<-done
	}
}

// refused looks at a report that failed. One that is refused as a whole, for what is in it,
// would be refused for ever and hold everything else back: it is sent again in parts, and
// the single item that is still refused is dropped.
func (r *reporter) refused(f flight) error {
	n := f.carried.items()
	switch {
	case !poisoned(f.err):
	case n > 1:
		r.limit, r.cut = max(1, min(r.limit, n)/2), r.seq
	case n == 1:
		r.log.Error("report dropped: it is refused", "report", summary(f.report), "error", f.err)
		r.outbox.settle(f.carried)
		r.limit = api.MaxReportItems
		return f.err
	}
	r.outbox.again(f.carried)
	return f.err
}

// poisoned reports whether a report was refused for what is in it.
func poisoned(err error) bool {
	switch api.KindOf(err) { //nolint:exhaustive // the others are about the cell or the scheduler
	case api.InvalidArgument, api.TooLarge:
		return true
	}
	return false
}

// summary names the one item of a report, without its token.
func summary(r api.Report) string {
	switch {
	case len(r.Bound) > 0:
		return "bound " + string(r.Bound[0].LeaseID)
	case len(r.Ended) > 0:
		return "ended " + string(r.Ended[0].LeaseID)
	case len(r.Runs) > 0:
		return "run " + string(r.Runs[0].RunID)
	case len(r.Minted) > 0:
		return "minted " + r.Minted[0].AskID
	}
	return "inventory"
}
