package leader

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/placement"
)

// Node is what a leader needs of its Raft node. Its methods are called from Run's
// goroutines and may block until their context ends.
type Node interface {
	// Propose commits an entry and returns its results.
	Propose(ctx context.Context, e fsm.Entry) ([]fsm.Result, error)
	// Barrier commits an entry and returns its results when everything before it is applied.
	Barrier(ctx context.Context, e fsm.Entry) ([]fsm.Result, error)
	// Verify returns nil when a quorum just confirmed the leadership.
	Verify(ctx context.Context) error
	// GiveAway hands leadership to another scheduler.
	GiveAway() error
	// SetGate says whether decisions may be made here.
	SetGate(open bool)
}

// Config is what a leader needs. Heartbeat, Limit and Warmup are the cells' timers.
type Config struct {
	Node      Node
	Machine   *fsm.Machine
	ClusterID string
	// Providers are created when the state does not have them; their switch is set once.
	Providers []api.Provider
	Sightings *rumor.Table
	// Ask brings the sightings of every reachable scheduler into the table, in bounded time.
	Ask       func(ctx context.Context)
	Heartbeat time.Duration
	Limit     time.Duration
	Warmup    time.Duration
	// Clock is the time, Random makes ids; without them they are this machine's.
	Clock  clock.Clock
	Random io.Reader
	Log    hclog.Logger
}

// Leader takes commands while this node leads; otherwise it refuses them with no_leader.
type Leader struct {
	cfg  Config
	term atomic.Pointer[term]
}

// New returns a leader that does nothing until Run is called.
func New(c Config) *Leader {
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	return &Leader{cfg: c}
}

// term is one spell of leading: everything that a leader keeps in memory.
type term struct {
	cfg     Config
	log     hclog.Logger
	base    api.Tick  // cluster time at the barrier
	began   time.Time // and when that was, on the monotonic clock
	queue   chan *job
	wg      sync.WaitGroup
	booked  *bookings
	refused *refusals
	health  memory
	over    <-chan struct{} // closed when the term is to end

	mu    sync.RWMutex
	ended bool // guarded by mu: nobody reads the queue any more
}

const (
	// queueLen bounds the commands that wait for a place in an entry.
	queueLen = 4096
	// startAgain is the pause before a leader that could not start, and could not give
	// leadership away either, tries again.
	startAgain = time.Second
)

// Run leads until ctx ends. When a step of the start fails, leadership is given away: a
// leader that cannot rebuild its memory must not be one.
func (l *Leader) Run(ctx context.Context) {
	for ctx.Err() == nil {
		t, err := l.start(ctx)
		if err == nil {
			l.lead(ctx, t)
			return
		}
		if ctx.Err() != nil {
			return
		}
		l.cfg.Log.Error("start leading", "error", err)
		if err := l.cfg.Node.GiveAway(); err != nil {
			l.cfg.Log.Error("give leadership away", "error", err)
		}
		sleep(ctx, nil, startAgain)
	}
}

func (l *Leader) lead(ctx context.Context, t *term) {
	l.cfg.Log.Info("leading", "index", l.cfg.Machine.View().Index())
	l.term.Store(t)
	l.cfg.Node.SetGate(true)
	<-ctx.Done()
	l.cfg.Node.SetGate(false)
	l.term.Store(nil)
	t.wg.Wait()
	t.close()
	l.cfg.Log.Info("leading ended")
}

// start rebuilds what a leader keeps in memory behind a barrier, begins the term in the log,
// and then its duties.
func (l *Leader) start(ctx context.Context) (*term, error) {
	t := &term{
		cfg: l.cfg, log: l.cfg.Log,
		queue: make(chan *job, queueLen), booked: newBookings(), refused: newRefusals(), health: newMemory(),
		over: ctx.Done(),
	}
	// What the others saw of the cells comes in meanwhile: without their heartbeats nothing
	// can be granted. One that does not answer keeps nobody waiting.
	t.wg.Go(func() { t.ask(ctx) })
	if err := t.begin(ctx); err != nil {
		t.wg.Wait()
		return nil, err
	}
	duties := []func(context.Context){t.plan, t.expire, t.keepTime, t.watchCells, t.finishRevocations, t.keepModes, t.retryRuns}
	for _, duty := range append(duties, t.next()...) {
		t.wg.Go(func() { duty(ctx) })
	}
	return t, nil
}

// begin commits what a cluster begins with, as the first entry of the term. It is the barrier
// too: what was committed before is applied behind it. It moves no time: how late it is, is
// known behind it only.
func (t *term) begin(ctx context.Context) error {
	cmd := fsm.InitCluster{ClusterID: t.cfg.ClusterID, Providers: t.cfg.Providers}
	results, err := t.cfg.Node.Barrier(ctx, fsm.Entry{Wall: t.cfg.Clock.Wall().UnixMilli(), Commands: []fsm.Command{cmd}})
	if err != nil {
		return fmt.Errorf("begin the term: %w", err)
	}
	t.base, t.began = t.cfg.Machine.View().Now(), t.cfg.Clock.Now()
	if len(results) > 0 && results[0].Problem != nil {
		return fmt.Errorf("begin the term: %w", results[0].Problem)
	}
	return nil
}

// now is cluster time: what was committed at the barrier plus this leader's own monotonic
// time since. The time between two leaders counts as zero.
func (t *term) now() api.Tick {
	if mutant.On(mutant.WallTicks) {
		return api.Tick(t.cfg.Clock.Wall().UnixNano())
	}
	return t.base + api.Tick(clock.Since(t.cfg.Clock, t.began))
}

func (t *term) entry(cmds ...fsm.Command) fsm.Entry {
	return fsm.Entry{Tick: t.now(), Wall: t.cfg.Clock.Wall().UnixMilli(), Commands: cmds}
}

// close lets nothing into the queue any more and answers what is in it: its planner is gone.
func (t *term) close() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	for {
		select {
		case j := <-t.queue:
			j.refuse(errNotLeading())
		default:
			return
		}
	}
}

func errNotLeading() *api.Error {
	return api.Refuse(api.NoLeader, "this scheduler does not lead")
}

// Submit commits one command and returns its result; a refusal comes back as the error.
func (l *Leader) Submit(ctx context.Context, cmd fsm.Command) (fsm.Result, error) {
	t := l.term.Load()
	if t == nil {
		return fsm.Result{}, errNotLeading()
	}
	return t.do(ctx, &job{cmd: cmd})[0].split()
}

func (t *term) enqueue(j *job) *api.Error {
	if e := t.known(j); e != nil {
		return e
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.ended {
		return errNotLeading()
	}
	select {
	case t.queue <- j:
		return nil
	default:
		return overloaded()
	}
}

// known refuses a command that some scheduler may not know yet. Here it is refused alone; at
// the log's door, where it would be refused too, it would take its group with it.
func (t *term) known(j *job) *api.Error {
	cmd := j.cmd
	if j.grant != nil {
		cmd = *j.grant
	}
	if needs, at := fsm.LevelOf(cmd), t.cfg.Machine.View().Level(); needs > at {
		return api.Refuse(api.Conflict, "this needs feature level %d, and the cluster is at %d", needs, at).
			WithHint("the level is raised when every scheduler runs a release that knows it: grafos operator raft list")
	}
	return nil
}

// duty is do for the leader's own work, which waits for a place in the queue: no load may
// keep a lease from its end. The term does not end while one of its duties runs.
func (t *term) duty(ctx context.Context, j *job) (fsm.Result, error) {
	if e := t.known(j); e != nil {
		return fsm.Result{}, e
	}
	j.ctx, j.to = ctx, newAsked(1)
	select {
	case t.queue <- j:
		return j.to.wait(ctx)[0].split()
	case <-ctx.Done():
		return fsm.Result{}, errNotLeading()
	}
}

// Plan decides without committing anything. It is what Admit would decide now.
func (l *Leader) Plan(r placement.Request) (api.Plan, error) {
	t := l.term.Load()
	if t == nil {
		return api.Plan{}, errNotLeading()
	}
	d := t.newDesk(rosters{})
	plan := d.choose(r)
	plan.Index, plan.Provider = d.view.Index(), r.Provider
	return plan, nil
}

// sleep waits for d, for a change or for ctx, and reports whether ctx is still alive.
func sleep(ctx context.Context, changed <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
