package sim

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/cluster/control"
)

// Config says what a world is made of and how long its faults go on.
type Config struct {
	Seed                       uint64
	Schedulers, Cells, Clients int
	// Spares is how many schedulers more there are than have a vote. With any, members come and
	// go, and faults come together.
	Spares int
	// Faults is how long faults are made; Calm is about how long there is peace between two.
	Faults, Calm time.Duration
	// Together is how many faults are under way at a time, at most.
	Together int
	// Pause is about how long a client waits between two requests.
	Pause time.Duration
	// Heartbeat, Limit and Warmup are the cells' timers.
	Heartbeat, Limit, Warmup time.Duration
	// Commit, Trailing, SnapshotBytes and SnapshotEvery are the schedulers'.
	Commit        time.Duration
	Trailing      uint64
	SnapshotBytes int64
	SnapshotEvery time.Duration
	// Stop ends the faults early, for whoever does not want to wait: nil is never.
	Stop func() bool
	// Log is nil for nobody, Trace too.
	Log   hclog.Logger
	Trace io.Writer
}

func (c Config) withDefaults() Config {
	or := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	if c.Schedulers == 0 {
		c.Schedulers = 3
	}
	if c.Cells == 0 {
		c.Cells = 3
	}
	if c.Clients == 0 {
		c.Clients = 4
	}
	or(&c.Faults, 10*time.Minute)
	or(&c.Calm, calm(c.Together))
	or(&c.Pause, 700*time.Millisecond)
	or(&c.Heartbeat, time.Second)
	or(&c.Limit, 4*time.Second)
	or(&c.Warmup, time.Second)
	or(&c.Commit, 150*time.Millisecond)
	or(&c.SnapshotEvery, 10*time.Minute)
	if c.Trailing == 0 {
		c.Trailing = 64
	}
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = 512 << 10
	}
	if c.Stop == nil {
		c.Stop = func() bool { return false }
	}
	if c.Log == nil {
		c.Log = hclog.NewNullLogger()
	}
	return c
}

// calm is the peace between two faults: less of it for each of several hands would leave no
// time in which anything is granted.
func calm(together int) time.Duration {
	if together > 1 {
		return 8 * time.Second
	}
	return 10 * time.Second
}

// World is a cluster with its cells, its clients and its bad luck.
type World struct {
	cfg    Config
	tb     testing.TB
	log    hclog.Logger
	began  time.Time
	dice   *dice
	clock  *wallClock
	net    *network
	blobs  *blobs
	seats  []*seat
	hosts  []*host
	check  *check
	trace  *trace
	module api.Digest

	mu       sync.Mutex
	counts   map[string]int // guarded by mu
	failures int            // guarded by mu
	under    int            // guarded by mu: faults under way
}

// wallClock is the clock of the schedulers: its wall can be stepped.
type wallClock struct {
	mu     sync.Mutex
	jumped time.Duration // guarded by mu
}

// Now is the bubble's time.
func (c *wallClock) Now() time.Time { return time.Now() }

// Wall may have been stepped.
func (c *wallClock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Round(0).Add(c.jumped)
}

func (c *wallClock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jumped += d
}

// Run makes a world, lets it live through its faults, and demands that it comes to rest. It
// runs inside a synctest bubble. What goes wrong is reported to tb, with the seed.
func Run(tb testing.TB, c Config) Account {
	tb.Helper()
	w := newWorld(tb, c.withDefaults())
	if !w.begin(w.seats[:w.cfg.Schedulers]) {
		return w.account()
	}
	for _, h := range w.hosts {
		if err := h.start(); err != nil {
			w.fail("cell %s does not start: %v", h.id, err)
			return w.account()
		}
	}
	late := time.AfterFunc(w.cfg.Faults+endsWithin, w.endless)
	defer late.Stop()
	life, end := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() { w.watch(life) })
	// Spares come to a cluster that there is.
	if w.furnish(life) && w.begin(w.seats[w.cfg.Schedulers:]) {
		w.live()
	}
	end()
	watch.Wait()
	w.close()
	return w.account()
}

// begin starts schedulers.
func (w *World) begin(seats []*seat) bool {
	for _, s := range seats {
		if err := s.start(); err != nil {
			w.fail("scheduler %s does not start: %v", s.name, err)
			return false
		}
	}
	return true
}

// endsWithin is how long after its faults a world must have ended, much more than its second
// phase may take.
const endsWithin = 30 * time.Minute

// endless is the end of a world that has none, because somebody waits for what never comes: it
// says what everybody does.
func (w *World) endless() {
	stacks := make([]byte, 16<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	panic(fmt.Sprintf("seed %d: the world has not ended %s after its faults\n\n%s", w.cfg.Seed, endsWithin, stacks))
}

func newWorld(tb testing.TB, c Config) *World {
	tb.Helper()
	w := &World{
		cfg: c, tb: tb, log: c.Log, began: time.Now(), dice: newDice(c.Seed), clock: &wallClock{}, blobs: newBlobs(), counts: map[string]int{},
	}
	w.net = newNetwork(w.dice)
	w.check = newCheck(w)
	w.trace = newTrace(w.began, c.Trace)
	for i := range c.Schedulers + c.Spares {
		w.seats = append(w.seats, newSeat(w, "s"+itoa(i+1)))
	}
	for i := range c.Cells {
		h := &host{
			w: w, id: api.CellID("c" + itoa(i+1)), dir: tb.TempDir(), boot: &bootClock{began: w.began.Add(-time.Hour), ppm: int64(w.dice.below(401)) - 200},
			room: api.Resources{CPU: 2500, Mem: 24 << 20, Block: 32 << 20}, sleep: still{dice: w.dice},
		}
		forger, err := capbroker.New(capbroker.Config{ClusterID: clusterID, Cell: h.id, Now: brokerClock(h.boot.Now)})
		if err != nil {
			tb.Fatal(err)
		}
		h.forger = forger
		w.hosts = append(w.hosts, h)
	}
	return w
}

// fail reports a broken promise.
func (w *World) fail(format string, args ...any) {
	w.mu.Lock()
	w.failures++
	n := w.failures
	w.mu.Unlock()
	if n <= 20 {
		w.tb.Errorf("seed %d at %s: %s", w.cfg.Seed, time.Since(w.began).Round(time.Millisecond), fmt.Sprintf(format, args...))
	}
}

func (w *World) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failures > 0
}

func (w *World) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

func (w *World) schedulerNames() []string {
	names := make([]string, len(w.seats))
	for i, s := range w.seats {
		names[i] = s.name
	}
	return names
}

func (w *World) urls() []string {
	var list []string
	for _, s := range w.seats {
		list = append(list, url(s.name))
	}
	return list
}

func (w *World) schedulerAt(name string) *scheduler {
	for _, s := range w.seats {
		if s.name == name {
			return s.alive()
		}
	}
	return nil
}

func (w *World) linkAt(name string) *link {
	if n := w.schedulerAt(name); n != nil {
		return n.link
	}
	return nil
}

func (w *World) gossipAt(name string) *gossip {
	if n := w.schedulerAt(name); n != nil {
		return n.gossip
	}
	return nil
}

func (w *World) providers() []api.Provider {
	return []api.Provider{{ID: provider, Enabled: true, Ownership: api.OwnedByCustomer}}
}

// wholeEvery is how often, in seconds, the whole of a scheduler's state is checked.
const wholeEvery = 600

// watch looks at the states of the schedulers, again and again.
func (w *World) watch(ctx context.Context) {
	for round := 0; pass(ctx, time.Second); round++ {
		for i, s := range w.seats {
			if n := s.alive(); n != nil {
				if round%wholeEvery == wholeEvery/2+i {
					w.check.whole(n)
				}
			}
		}
		for _, h := range w.hosts {
			if a := h.alive(); a != nil {
				a.keeps.inTime()
			}
		}
	}
}

func tenantName(i int) api.TenantID { return api.TenantID("t" + itoa(i+1)) }

// furnish makes the tenants and puts the module, through whoever leads.
func (w *World) furnish(ctx context.Context) bool {
	p := w.net.born("operator")
	defer w.net.die(p)
	c := &client{w: w, proc: p}
	begin, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	w.module = api.DigestOf([32]byte{1})
	if err := w.blobs.Put(ctx, w.module, 0, emptyReader{}); err != nil {
		w.fail("put the module: %v", err)
	}
	for i := range w.cfg.Clients {
		t := tenantName(i)
		_, err := write(begin, c, func(ctx context.Context, ctl *control.Control, o api.WriteOptions) (*api.TenantAnswer, error) {
			ctx = api.WithCaller(ctx, api.Caller{Role: api.RoleOperator, Name: "root"})
			if _, err := ctl.CreateTenant(ctx, t, o); err != nil && api.KindOf(err) != api.Conflict {
				return nil, err
			}
			if err := ctl.ReferBlob(ctx, t, w.module, 1); err != nil {
				return nil, err
			}
			q := api.NoQuota()
			q.Leases = mostHeld + 4
			o.IdempotencyKey += "-q"
			return ctl.SetQuota(ctx, t, q, o)
		})
		if err != nil {
			w.fail("no cluster after a minute: tenant %s: %v", t, err)
			return false
		}
	}
	return true
}

// live is the two phases: what may go wrong, and what must then come right.
func (w *World) live() {
	storm, calm := context.WithTimeout(context.Background(), w.cfg.Faults)
	defer calm()
	final, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	busy, rest := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for i := range w.cfg.Clients {
		c := &client{w: w, proc: w.net.born("u" + itoa(i+1)), tenant: tenantName(i), near: i}
		clients.Go(func() {
			c.run(busy, final)
			w.net.die(c.proc)
		})
	}
	w.trouble(storm)
	w.mend()
	w.trace.add("healed")
	w.recover(&clients, rest, giveUp)
}

// The bounds of the second phase.
const (
	leaderWithin = 10 * time.Second
	answerWithin = 2 * time.Minute
	restWithin   = 5 * time.Minute
)

// recover demands that a healed world comes to rest: a leader, an answer for everybody who
// asked, an end for every lease and run, and one state everywhere.
func (w *World) recover(clients *sync.WaitGroup, rest, giveUp context.CancelFunc) {
	if !w.within(leaderWithin, func() bool { return w.leader() != nil }) {
		w.fail("no leader %s after everything was healed", leaderWithin)
	}
	rest()
	done := make(chan struct{})
	go func() {
		defer close(done)
		clients.Wait()
	}()
	t := time.NewTimer(answerWithin)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		w.fail("a client has no answer %s after everything was healed", answerWithin)
	}
	giveUp()
	<-done
	if !w.within(restWithin, w.atRest) {
		w.fail("not at rest %s after the last request: %s", restWithin, w.restless())
	}
	if n := w.leader(); n != nil {
		w.check.end(n.machine.View())
	}
	for _, s := range w.seats {
		if n := s.alive(); n != nil {
			w.check.whole(n)
		}
	}
}

// within waits at most d for ok.
func (w *World) within(d time.Duration, ok func() bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for !ok() {
		if w.failed() || !pass(ctx, 100*time.Millisecond) {
			return ok()
		}
	}
	return true
}

func (w *World) leader() *scheduler {
	for _, s := range w.seats {
		if n := s.alive(); n.leads() {
			return n
		}
	}
	return nil
}

// atRest reports whether nothing is left to do and everybody agrees about it.
func (w *World) atRest() bool { return w.restless() == "" }

// restless says what is not at rest.
func (w *World) restless() string {
	n := w.leader()
	if n == nil {
		return "nobody leads"
	}
	if lacks := w.incomplete(n); lacks != "" {
		return lacks
	}
	v := n.machine.View()
	if c := v.Counts(); c.LiveLeases > 0 || c.LiveRuns > 0 {
		return fmt.Sprintf("%d leases and %d runs live", c.LiveLeases, c.LiveRuns)
	}
	for _, h := range w.hosts {
		if held := h.held(); held > 0 {
			return fmt.Sprintf("cell %s has %d bindings", h.id, held)
		}
	}
	for _, s := range w.seats {
		n := s.alive()
		if n == nil {
			return "scheduler " + s.name + " is down"
		}
		if o := n.machine.View(); o.Index() != v.Index() || o.Fingerprint() != v.Fingerprint() {
			return fmt.Sprintf("scheduler %s is at %d, the leader at %d", s.name, o.Index(), v.Index())
		}
	}
	return ""
}

func (w *World) close() {
	for _, h := range w.hosts {
		h.kill()
	}
	for _, s := range w.seats {
		s.kill()
	}
	w.net.heal()
	w.net.wg.Wait()
}

type emptyReader struct{}

// Read is at the end.
func (emptyReader) Read([]byte) (int, error) { return 0, io.EOF }
