package cellagent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	wall "github.com/grafos/grafos/api/clock"
)

const (
	// farewell bounds how long a closing agent tries to say what became of its work.
	farewell = 2 * time.Second
	// dataFarewell bounds how long operations on the data plane may still take then.
	dataFarewell = 250 * time.Millisecond
)

// Agent is a running cell.
type Agent struct {
	config  Config
	name    string // random, of this process
	dataURL string
	log     hclog.Logger

	roster   *roster
	fleet    *fleet
	keeper   *keeper
	sessions *sessions
	reporter *reporter
	renewing *renewal // nil where the certificate is another's to renew
	surveyor *surveyor
	server   *http.Server
	relay    *relay
	alarm    Alarm
	deps     Deps

	asked   <-chan struct{} // closed when the caller's context ends
	stopped chan struct{}   // closed when the agent cannot go on; err says why
	err     error
	control group  // sessions, reports, surveys: what needs schedulers
	life    group  // deadlines and the data plane
	leave   func() // ends everything that is held
	once    sync.Once
	closed  error
}

// group is goroutines under one context.
type group struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// end cancels the context and waits.
func (g *group) end() {
	g.cancel()
	g.wg.Wait()
}

// Start puts an agent together of the parts that it is given and starts it. It owns d and closes it with the agent, also
// when it fails. Everything runs until Close, whatever becomes of ctx.
func Start(ctx context.Context, c Config, d Deps) (*Agent, error) {
	mods, err := openModules(filepath.Join(c.Dir, dirModules), modulesMost)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	a := assemble(c, d, mods)
	a.asked = ctx.Done()
	whole := context.WithoutCancel(ctx)
	alarm, err := d.Clock.NewAlarm()
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	a.alarm = alarm
	if err := a.surveyor.survey(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read inventory: %w", err), alarm.Close(), d.close())
	}
	life, endLife := context.WithCancel(whole)
	control, endControl := context.WithCancel(whole)
	a.life.cancel, a.control.cancel = endLife, endControl
	a.sessions.take = func(set api.Desired) error {
		a.reporter.retime(set)
		return a.keeper.take(life, set)
	}
	a.leave = func() { a.keeper.close(life) }
	a.keeper.remember()

	a.life.wg.Go(func() { a.keeper.expire(life, life, alarm) })
	a.life.wg.Go(func() { a.serve(d) })
	a.control.wg.Go(func() { a.reporter.run(control) })
	a.control.wg.Go(func() { a.surveyor.run(control) })
	if d.Identity != nil {
		a.renewing = a.renewal()
		a.control.wg.Go(func() { a.renewing.run(control) })
	}
	a.control.wg.Go(func() {
		defer close(a.stopped)
		a.err = a.run(control)
	})
	return a, nil
}

// assemble makes the parts of an agent and ties them together. It starts nothing.
func assemble(c Config, d Deps, mods *modules) *Agent {
	log := c.Log.Named("cell").With("cell_id", string(c.CellID))
	advertise := c.DataAdvertise
	if advertise == "" {
		advertise = d.Listener.Addr().String()
	}
	a := &Agent{
		config: c, name: api.NewID(d.Random, ""), dataURL: "https://" + advertise, log: log, deps: d,
		roster: newRoster(c.Schedulers, d.Random), stopped: make(chan struct{}),
	}
	a.fleet = &fleet{dial: d.Dial, roster: a.roster}
	out := newOutbox()
	a.keeper = newKeeper(&keeper{
		cell: c.CellID, clock: d.Clock, host: d.Host, broker: d.Broker, ledger: d.Ledger, outbox: out,
		coordinate: a.coordinate,
		workshop:   &workshop{fleet: a.fleet, modules: mods, runner: d.Runner, clock: d.Clock, log: log.Named("run")},
		log:        log.Named("lease"),
	})
	shown := newBeacon()
	failed := make(chan sessionError)
	a.sessions = &sessions{
		watcher: &watcher{clock: d.Clock, provider: c.Provider, cell: c.CellID, news: make(chan news)},
		roster:  a.roster, beacon: shown, dial: d.Dial, seen: a.keeper.seen, failed: failed,
		renewed: make(bell, 1), log: log.Named("session"),
	}
	a.reporter = &reporter{
		provider: c.Provider, cell: c.CellID, clock: d.Clock, beacon: shown, outbox: out,
		bind: a.keeper.boundReports, stuck: a.keeper.stuck, settled: a.keeper.confirm,
		failed: failed, log: log.Named("report"),
	}
	a.sessions.place, a.sessions.spread = spreadOf(d.Random), a.reporter.heartbeat
	a.surveyor = &surveyor{probe: d.Probe, capacity: d.Capacity, outbox: out, log: log.Named("inventory")}
	plane := newDataPlane(a.keeper)
	if d.Faults != nil {
		corrupt(plane, d.Faults)
	}
	a.server = newDataServer(plane.handler(), log)
	a.relay = newRelay(c.CellID, plane, d.Dial, &a.life.wg, log.Named("relay"))
	a.keeper.relayed = a.relay.take
	return a
}

// coordinate is where a lease is, of a run's cpu how its share is kept, and of gpus which they are.
func (a *Agent) coordinate(l *api.Lease) string {
	at := a.dataURL + dataPath + string(l.ID)
	if l.Kind == api.KindCPU && l.RunID != "" && a.deps.CPUTier != nil {
		return a.deps.CPUTier(l.Priority).WithTier(at)
	}
	if g := l.Terms.Devices(); g != nil {
		if a.deps.Faults != nil {
			g = misnamed(g, a.deps.Faults)
		}
		return at + "?" + g.Query()
	}
	return at
}

// renewal renews the agent's certificate.
func (a *Agent) renewal() *renewal {
	now := a.deps.Wall
	if now == nil {
		now = wall.System().Wall
	}
	return &renewal{
		provider: a.config.Provider, cell: a.config.CellID, identity: a.deps.Identity, fleet: a.fleet, wall: now,
		bind: func(ctx context.Context) error {
			_, err := a.register(ctx) // the same agent again keeps its epoch
			return err
		},
		ways: a.relay.forget, reopen: a.sessions.renewed.ring, spread: spreadOf(a.deps.Random), log: a.log.Named("identity"),
	}
}

// run registers and holds sessions, again and again, until ctx ends or the identity does.
func (a *Agent) run(ctx context.Context) error {
	var other rivalry
	for epoch := uint64(0); ; {
		answer, err := a.register(ctx)
		if err != nil {
			return err
		}
		a.log.Info("registered", "cell_epoch", answer.Epoch, "index", answer.Index, "agent", a.name)
		a.reporter.timers.Store(timersOf(answer))
		a.roster.learn(answer.Schedulers)
		a.keeper.broker.SetEpoch(answer.Epoch)
		a.keeper.settle(answer)
		a.keeper.begin(answer.Index, answer.Epoch != epoch)
		epoch = answer.Epoch
		a.surveyor.repeat()
		other.registered(answer, a.keeper.clock.Now())
		if err = a.sessions.run(ctx, answer.Epoch); api.KindOf(err) != api.StaleEpoch {
			return err
		}
		wait, rival := other.superseded(a.keeper.clock.Now())
		if rival {
			a.log.Warn("two agents seem to run as this cell, and take it from each other", "error", err, "wait", wait,
				"hint", "run one agent a cell: stop the other one, perhaps of a cloned host or of a copy of the identity folder, and bootstrap it under a cell id of its own")
		} else {
			a.log.Warn("the schedulers know another registration, registering again", "error", err, "wait", wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// serve runs the data plane until its server is closed.
func (a *Agent) serve(d Deps) {
	if err := a.server.Serve(d.Listener); !errors.Is(err, http.ErrServerClosed) {
		a.log.Error("data plane stopped", "error", err)
	}
}

// Wait returns when the agent cannot go on, with the reason, or with nil when the context that
// it was opened with ends or it is closed. It is still to be closed.
func (a *Agent) Wait() error {
	select {
	case <-a.asked:
		return nil
	case <-a.stopped:
		if errors.Is(a.err, context.Canceled) {
			return nil
		}
		return a.err
	}
}

// Close takes no more work, kills what runs, tears down what is bound, says so to the
// schedulers if they can be reached soon, and waits for everything that the agent started.
func (a *Agent) Close() error {
	a.once.Do(func() { a.closed = a.close() })
	return a.closed
}

func (a *Agent) close() error {
	err := a.closeServer()
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	a.leave()
	done := make(chan struct{})
	a.life.wg.Go(func() {
		defer close(done)
		a.keeper.tasks.Wait()
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
	a.reporter.outbox.drained(ctx)
	a.control.end()
	a.life.end()
	return errors.Join(err, a.keeper.failed(), a.alarm.Close(), a.fleet.close(), a.relay.forget(), a.deps.close())
}

// closeServer lets the operations under way end, for a moment.
func (a *Agent) closeServer() error {
	ctx, cancel := context.WithTimeout(context.Background(), dataFarewell)
	defer cancel()
	err := a.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return a.server.Close() // whoever still reads or writes is cut off
	}
	return err
}
