package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/bench/internal/child"
	"github.com/grafos/grafos/integration/bench/internal/load"
	"github.com/grafos/grafos/integration/bench/internal/proc"
	"github.com/grafos/grafos/integration/internal/harness"
)

// The aims.
const (
	heartbeatsAim = 0.3 // of a core
	backAim       = 15 * time.Second
	admitsAim     = 50 // a second, with nobody refused
	limits        = 2  // within so many heartbeat limits a dead cell is marked
)

const (
	joinTime  = 4 * time.Minute
	quietTime = 8 * time.Second // shorter than a limit less a heartbeat: nobody falls silent
	loudTime  = 30 * time.Second
	admitTime = 10 * time.Second
	admitTTL  = 5 * time.Second
	clients   = 16
	killed    = 50
)

// all runs the parts, one after the other, in one world.
func (b *bench) all(ctx context.Context) (err error) {
	b.say("%d simulated cells, 3 schedulers, %d processes of cells, on this machine", b.cells, b.herds)
	w, err := b.newWorld(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			b.say("the logs are in %s", w.dir)
		}
		err = errors.Join(err, w.close(err != nil))
	}()
	for _, part := range []func(context.Context, *world) error{b.join, b.beats, b.admit, b.deaths, b.kill} {
		if err := part(ctx, w); err != nil {
			return fmt.Errorf("%w; the first thing that failed in a herd: %s", err, w.trouble(context.WithoutCancel(ctx)))
		}
	}
	return nil
}

// fleetTimers are those of such a fleet, with the defaults of a scheduler.
func (b *bench) fleetTimers() (heartbeat, limit time.Duration) {
	return api.FleetTimers(5*time.Second, 15*time.Second, b.cells)
}

// join waits until every cell has both sessions and is ready.
func (b *bench) join(ctx context.Context, w *world) error {
	began := time.Now()
	if err := w.populate(b.cells, b.herds); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	said := time.Now()
	for {
		c, err := w.ask(ctx, doCount)
		if err != nil {
			return err
		}
		ready, err := w.ready(ctx)
		if err == nil && c["active"] == int64(b.cells) && c["standby"] == int64(b.cells) && ready == b.cells {
			break
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			b.say("  ... %d registered, %d sessions, %d standbys, %d ready (%v)", c["registered"], c["active"], c["standby"], ready, err)
		}
		if err := harness.Pause(ctx, 500*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the cells: %w", err)
		}
	}
	used, err := w.cpu()
	if err != nil {
		return err
	}
	b.say("\nall registered, with both sessions, and ready: after %s; processor time so far: %s", short(time.Since(began)), shares(used, nil, 0))
	b.holds(w.sessions(ctx) == b.cells, "the schedulers hold %d sessions", w.sessions(ctx))
	for _, s := range w.live() {
		rss, err := proc.Resident(s.proc.PID())
		if err != nil {
			return err
		}
		b.say("  %s has %s resident, %s for each of its sessions and standbys", s.name, api.FormatSize(rss), api.FormatSize(rss/int64(max(2*b.cells/seats, 1))))
	}
	return nil
}

// ready is how many cells the schedulers call ready.
func (w *world) ready(ctx context.Context) (int, error) {
	s, _, err := w.leader(ctx)
	if err != nil {
		return 0, err
	}
	list, err := s.one.ListProviders(ctx, api.ReadOptions{})
	if err != nil {
		return 0, err
	}
	for _, p := range list.Providers {
		if p.Provider == provider {
			return p.CellsReady, nil
		}
	}
	return 0, nil
}

// beats measures what heartbeats cost: a window with all sessions open and nothing said, one with
// heartbeats, and nothing else.
func (b *bench) beats(ctx context.Context, w *world) error {
	heartbeat, _ := b.fleetTimers()
	b.say("\nheartbeats every %s, and nothing else", heartbeat)
	lead, _, err := w.leader(ctx)
	if err != nil {
		return err
	}
	if _, err := w.ask(ctx, doHush); err != nil {
		return err
	}
	quiet, _, err := b.window(ctx, w, "quiet", lead, quietTime)
	if err != nil {
		return err
	}
	if _, err := w.ask(ctx, doLoud); err != nil {
		return err
	}
	if err := harness.Pause(ctx, 2*heartbeat); err != nil {
		return err
	}
	began := time.Now()
	_, before, err := w.leader(ctx)
	if err != nil {
		return err
	}
	loud, n, err := b.window(ctx, w, "loud", lead, loudTime)
	if err != nil {
		return err
	}
	_, after, err := w.leader(ctx)
	if err != nil {
		return err
	}
	b.say("  %.0f heartbeats a second", float64(n["beats"])/loudTime.Seconds())
	b.holds(n["failed"] == 0, "%d heartbeats failed", n["failed"])
	// One a second is the cluster's clock; the rest leaves room for what is no heartbeat.
	grown, ticks := after.AppliedIndex-before.AppliedIndex, uint64(time.Since(began)/time.Second)+5
	b.holds(grown <= ticks, "the log grew by %d entries in %s, of which the clock makes one a second, while there were %d heartbeats", grown, short(time.Since(began)), n["beats"])
	b.holds(after.Term == before.Term, "the leader led all the time")
	b.holds(loud-quiet < heartbeatsAim, "the leader's share of a core is %.3f with heartbeats and %.3f without: they cost %.3f, aim under %.1f", loud, quiet, loud-quiet, heartbeatsAim)
	return nil
}

// window lets some time pass and says what it cost: the leader's share of a core, and what the herds
// counted.
func (b *bench) window(ctx context.Context, w *world, name string, lead *seat, d time.Duration) (share float64, n counts, err error) {
	was, err := w.ask(ctx, doCount)
	if err != nil {
		return 0, nil, err
	}
	before, err := w.cpu()
	if err != nil {
		return 0, nil, err
	}
	began := time.Now()
	var wg sync.WaitGroup
	var profiled error
	if b.profiles != "" {
		wg.Go(func() {
			for _, s := range w.live() {
				kind := "follower"
				if s == lead {
					kind = "leader"
				}
				profiled = errors.Join(profiled, fetch(ctx, s.debug, int(d.Seconds())/seats-1, filepath.Join(b.profiles, name+"-"+kind+".prof")))
			}
		})
	}
	if err := harness.Pause(ctx, d); err != nil {
		return 0, nil, err
	}
	wg.Wait()
	after, err := w.cpu()
	if err = errors.Join(err, profiled); err != nil {
		return 0, nil, err
	}
	took := time.Since(began)
	n, err = w.ask(ctx, doCount)
	for name := range n {
		n[name] -= was[name]
	}
	b.say("  %s, shares of a core: %s (%s leads)", name, shares(after, before, took), lead.name)
	return (after[lead.name] - before[lead.name]).Seconds() / took.Seconds(), n, err
}

// shares prints what each process used.
func shares(after, before map[string]time.Duration, took time.Duration) string {
	var text []string
	names := make([]string, 0, len(after))
	for name := range after {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if before == nil {
			text = append(text, name+" "+short(after[name]))
			continue
		}
		text = append(text, fmt.Sprintf("%s %.3f", name, (after[name]-before[name]).Seconds()/took.Seconds()))
	}
	return strings.Join(text, ", ")
}

// fetch brings a CPU profile.
func fetch(ctx context.Context, addr string, seconds int, file string) (err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", addr, max(seconds, 1)), nil)
	if err != nil {
		return fmt.Errorf("ask for a profile: %w", err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("ask for a profile: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("keep a profile: %w", err)
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

// admit makes admissions on the simulated cells while all of them beat.
func (b *bench) admit(ctx context.Context, w *world) error {
	b.say("\nadmissions on these cells, %d clients, leases of %s", clients, admitTTL)
	lead, _, err := w.leader(ctx)
	if err != nil {
		return err
	}
	c, err := w.client()
	if err != nil {
		return err
	}
	var run load.Run
	var wg sync.WaitGroup
	wg.Go(func() {
		run = load.Do(ctx, load.Spec{Outstanding: clients, Warm: time.Second, Window: admitTime}, func(ctx context.Context, _, _ int) error {
			_, err := c.RequestLeases(ctx, api.LeaseRequest{Provider: provider, Tenant: tenant, TTLMs: admitTTL.Milliseconds(), Resources: api.Resources{Mem: 1 << 20}}, api.WriteOptions{})
			return err
		})
	})
	_, _, err = b.window(ctx, w, "admissions", lead, admitTime+time.Second)
	wg.Wait()
	if err = errors.Join(err, c.Close()); err != nil {
		return err
	}
	b.holds(run.Failed == 0, "%d of %d admissions failed (%v)", run.Failed, run.Failed+run.Done, run.First)
	b.holds(run.PerSecond() >= admitsAim, "%.0f admissions a second, p50 %s, p99 %s, aim %d", run.PerSecond(),
		short(load.Percentile(run.Took, 50)), short(load.Percentile(run.Took, 99)), admitsAim)
	return nil
}

// deaths kills some cells and waits until each of them is marked.
func (b *bench) deaths(ctx context.Context, w *world) error {
	_, limit := b.fleetTimers()
	b.say("\n%d cells die, the heartbeat limit is %s", killed, limit)
	if _, err := w.herds[0].Ask(ctx, child.Request{Do: doKill, Outstanding: killed}); err != nil {
		return err
	}
	b.cells -= killed
	at := time.Now()
	ctx, cancel := context.WithTimeout(ctx, (limits+1)*limit)
	defer cancel()
	for {
		ready, err := w.ready(ctx)
		if err != nil {
			return fmt.Errorf("wait until the dead are marked: %w", err)
		}
		if ready <= b.cells {
			b.holds(time.Since(at) < limits*limit && ready == b.cells, "all of them are marked after %s, and %d cells are ready, aim within %s", short(time.Since(at)), ready, limits*limit)
			return nil
		}
		if err := harness.Pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("wait until the dead are marked: %w", err)
		}
	}
}

// kill ends the leader as kill -9 does, and waits for everybody.
func (b *bench) kill(ctx context.Context, w *world) error {
	b.say("\nkill -9 of the leader")
	lead, _, err := w.leader(ctx)
	if err != nil {
		return err
	}
	was, err := w.ask(ctx, doCount)
	if err != nil {
		return err
	}
	lead.dead = true
	at := time.Now()
	if err := lead.proc.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*backAim)
	defer cancel()
	var sessions, standbys time.Duration
	said := time.Now()
	for sessions == 0 || standbys == 0 {
		if sessions == 0 && w.sessions(ctx) == b.cells {
			sessions = time.Since(at)
		}
		c, err := w.ask(ctx, doCount)
		if err != nil {
			return err
		}
		if sessions > 0 && c["active"] == int64(b.cells) && c["standby"] == int64(b.cells) {
			standbys = time.Since(at)
			b.say("  %d cells lost their session; %s", c["lost"]-was["lost"], since(c, was))
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			b.say("  ... %d sessions, %d standbys, %d lost their session; %s", w.sessions(ctx), c["standby"], c["lost"]-was["lost"], since(c, was))
		}
		if err := harness.Pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("wait until everybody is back: %d sessions, %v: %w", w.sessions(context.WithoutCancel(ctx)), c, err)
		}
	}
	b.holds(sessions < backAim, "every session is established again after %s, aim %s", short(sessions), backAim)
	b.say("  every cell has a warm standby again after %s", short(standbys))
	ready, err := w.ready(ctx)
	b.holds(err == nil && ready == b.cells, "%d cells are ready all the same (%v)", ready, err)
	return nil
}

// since says what became of connections and sessions.
func since(is, was counts) string {
	n := func(name string) int64 { return is[name] - was[name] }
	return fmt.Sprintf("%d connections dialed, %d sessions and %d standbys too late, %d refused, %d cut",
		n("dialed"), n("late active"), n("late standby"), n("refused"), n("cut"))
}

func short(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
