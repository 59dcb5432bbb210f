package conformance

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

const (
	// Most bounds a suite, stepTime each of its checks, and cleanTime what it does when it has ended.
	Most      = time.Minute
	stepTime  = 8 * time.Second
	cleanTime = 3 * time.Second
	// leaseTime is the life of a lease that is not left to expire: one that nobody can free any more, since
	// the leader was lost, is over soon.
	leaseTime = 15 * time.Second
)

// Fabric is what a suite needs of the schedulers. Leases are the suite's own, and on its cell.
type Fabric interface {
	// Lease answers when the lease is bound.
	Lease(ctx context.Context, r api.LeaseRequest) (api.Grant, error)
	// Renew answers when the cell has applied it.
	Renew(ctx context.Context, id api.LeaseID, ttl time.Duration) (api.Grant, error)
	Ends
	Runs
	// LeaseData carries an operation through this scheduler.
	LeaseData(ctx context.Context, r api.DataRequest) (*api.DataAnswer, error)
	// Fit returns nil while this scheduler leads and the cell takes leases.
	Fit() error
}

// Ends ends leases.
type Ends interface {
	Free(ctx context.Context, id api.LeaseID) error
	Revoke(ctx context.Context, id api.LeaseID) error
	// Ended returns a lease when it has ended, or as it is when ctx ends.
	Ended(ctx context.Context, id api.LeaseID) (api.Lease, error)
}

// Config says what is proved, and with what.
type Config struct {
	Fabric    Fabric
	ClusterID string
	// Cell is the record at the beginning, Free what is not taken of it.
	Cell api.CellRecord
	Free api.Resources
	// Direct reaches the cell's data plane with a certificate of the suite's tenant.
	Direct *http.Client
	// Host is the address at which the cells reach this scheduler's host; "" is that none is known.
	Host  string
	Clock clock.Clock
	// Emit is told of each check, one at a time.
	Emit func(api.ConformanceCheck)
}

// suite is one run against one cell.
type suite struct {
	Config
	began time.Time
	// direct is nil where the cell is reached through schedulers only.
	direct way
	relay  way

	cancel context.CancelCauseFunc

	mu     sync.Mutex
	checks int
	failed []api.ConformanceCheck
	open   map[api.LeaseID]bool // leases that are not known to have ended
	stood  error                // why some checks were not made: the cell stands still
	at     string               // the check that met what ended the suite, or a part of it
}

// Busy refuses a cell that has no room for the suite.
func Busy(cell *api.CellRecord, free api.Resources) error {
	if len(offered(cell)) == 0 {
		return api.Refuse(api.Conflict, "cell %s offers nothing that could be leased", cell.ID).
			WithHint("see its capacity: grafos fabric cells -o wide")
	}
	for _, p := range offered(cell) {
		if f := free.Get(p.kind); f < p.least {
			e := api.Refuse(api.Overloaded, "cell %s is busy: %d %s of %s are free, the suite needs %d", cell.ID, max(f, 0), p.kind.Unit(), p.kind, p.least).
				WithHint("drain a part of it first, or run it again when leases have ended: grafos lease list")
			e.RetryAfterMs = 5000
			return e
		}
	}
	return nil
}

// Run proves a cell. An error is that there is no result, and whose doing that is.
func Run(ctx context.Context, c Config) (*api.ConformanceReport, error) {
	if err := Busy(&c.Cell, c.Free); err != nil {
		return nil, err
	}
	bounded, stop := context.WithTimeout(ctx, Most)
	defer stop()
	running, cancel := context.WithCancelCause(bounded)
	defer cancel(nil)
	s := &suite{Config: c, began: c.Clock.Now(), cancel: cancel, open: map[api.LeaseID]bool{}}
	defer s.clean(ctx)
	s.relay = relayed{c.Fabric}
	s.reach(running)
	plans := offered(&c.Cell)
	var kinds sync.WaitGroup
	for i, p := range plans {
		kinds.Go(func() { (&probe{suite: s, plan: p, thorough: i == 0}).run(running) })
	}
	kinds.Wait()
	if running.Err() != nil {
		if err := s.interrupted(ctx, context.Cause(running)); err != nil {
			return nil, err
		}
	}
	if s.stood != nil {
		if len(s.failed) == 0 {
			return nil, api.Problem(s.stood)
		}
		s.cutShort(s.stood)
	}
	return s.report(plans), nil
}

// interrupted says why there is no result. A cell that failed a check has failed, whatever ended the suite
// afterwards: one that does not tear down has no room for the next lease. A cell on which the checks do not
// end has failed as well.
func (s *suite) interrupted(ctx context.Context, cause error) error {
	_, refused := api.AsError(cause)
	if refused = refused || notTheCells(cause) != nil; refused && api.KindOf(cause) == api.NoLeader {
		return api.Problem(cause)
	}
	if refused && ctx.Err() == nil {
		if len(s.failed) > 0 {
			s.cutShort(cause)
			return nil
		}
		return api.Problem(cause)
	}
	if ctx.Err() != nil {
		return api.Refuse(api.OutcomeUnknown, "the suite was stopped before its end: nothing is recorded").
			WithHint("run it again: grafos conformance run %s %s", s.Cell.Provider, s.Cell.ID)
	}
	s.tell(api.ConformanceCheck{Name: checkInTime, Want: "all checks within " + Most.String(), Got: "the checks did not end", TookMs: Most.Milliseconds()})
	return nil
}

// cutShort tells, as a last check, of a suite that is recorded although not all of its checks were made: what was not
// looked at is not found good.
func (s *suite) cutShort(why error) {
	s.mu.Lock()
	made, at := s.checks, s.at
	told := slices.ContainsFunc(s.failed, func(c api.ConformanceCheck) bool { return c.Name == api.ConformanceCutShort })
	s.mu.Unlock()
	if told {
		return
	}
	s.tell(api.ConformanceCheck{
		Name: api.ConformanceCutShort, Want: "all of the checks", Got: fmt.Sprintf("%d of them, then at %s %s", made, cmp.Or(at, "one of them"), say(why)),
	})
}

func (s *suite) report(plans []plan) *api.ConformanceReport {
	r := &api.ConformanceReport{
		Provider: s.Cell.Provider, CellID: s.Cell.ID, Passed: len(s.failed) == 0, Version: s.Cell.Version, Kinds: []api.LeaseKind{},
		Checks: s.checks, Failed: s.failed, TookMs: clock.Since(s.Clock, s.began).Milliseconds(),
	}
	if r.Failed == nil {
		r.Failed = []api.ConformanceCheck{}
	}
	for _, p := range plans {
		r.Kinds = append(r.Kinds, p.kind)
	}
	return r
}

// tell counts a check and hands it on.
func (s *suite) tell(c api.ConformanceCheck) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks++
	if !c.OK {
		s.failed = append(s.failed, c)
	}
	s.Emit(c)
}

// give stops the suite at a check for what is not the cell's doing, and reports whether err is that.
func (s *suite) give(ctx context.Context, at string, err error) bool {
	if ctx.Err() != nil && context.Cause(ctx) != context.DeadlineExceeded { //nolint:errorlint // it is not wrapped
		return true
	}
	if standsStill(err) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stood, s.at = err, cmp.Or(s.at, at)
		return true
	}
	if notTheCells(err) != nil {
		s.stop(at, err)
		return true
	}
	if unfit := s.Fabric.Fit(); unfit != nil && !standsStill(unfit) { // else this may be what does not move
		s.stop(at, unfit)
		return true
	}
	return false
}

// stop ends the suite at a check.
func (s *suite) stop(at string, why error) {
	s.mu.Lock()
	s.at = cmp.Or(s.at, at)
	s.mu.Unlock()
	s.cancel(why)
}

// opened and closed keep account of the leases that are left to be freed.
func (s *suite) opened(id api.LeaseID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[id] = true
}

func (s *suite) closed(id api.LeaseID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
}

// clean frees what is left, whatever became of the suite. Where that fails the leases end by themselves.
func (s *suite) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	s.mu.Lock()
	var left []api.LeaseID
	for id := range s.open {
		left = append(left, id)
	}
	s.mu.Unlock()
	slices.Sort(left)
	for _, id := range left {
		_ = s.Fabric.Free(ctx, id) // its time to live is short
	}
}
