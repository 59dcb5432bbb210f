package tasklet

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// TestClose proves that nothing is left: no goroutine, no process, idle or busy.
func TestClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r, err := Open(t.Context(), testConfig(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if out := r.Run(t.Context(), guestJob(t, "cat")); out.State != api.RunSucceeded {
		t.Fatalf("%s %+v", out.State, out.Failure)
	}
	pid := r.idle[0].cmd.Process.Pid
	other := guestJob(t, "loop")
	other.Tenant = "umbrella"
	outcome := make(chan work.Outcome, 1)
	go func() { outcome <- r.Run(context.Background(), other) }()
	await(t, "the other tenant's worker", 10*time.Second, func() bool { return r.workers() == 2 })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if out := <-outcome; out.State != api.RunFailed || out.Failure.Kind != api.WorkerLost {
		t.Errorf("a run ended by Close is %s %+v", out.State, out.Failure)
	}
	if !gone(pid) {
		t.Errorf("idle worker %d is left", pid)
	}
	if err := r.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if out := r.Run(t.Context(), guestJob(t, "cat")); out.Failure.Kind != api.WorkerLost {
		t.Errorf("a run after Close is %s %+v", out.State, out.Failure)
	}
}

// workers returns how many workers exist or are starting.
func (r *Runner) workers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.slots
}

// awaitSpinning waits until the only worker of this test has burnt more CPU than a start takes.
func awaitSpinning(t *testing.T) {
	t.Helper()
	await(t, "a guest burns CPU", 20*time.Second, func() bool {
		for _, pid := range childrenOf(t) {
			if ticks, _ := procStat(pid); ticks > 40 {
				return true
			}
		}
		return false
	})
}

// TestRevokeEarly proves that a run can be revoked while its worker starts.
func TestRevokeEarly(t *testing.T) {
	r := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	outcome := make(chan work.Outcome, 1)
	go func() { outcome <- r.Run(ctx, guestJob(t, "loop")) }()
	await(t, "a worker", 10*time.Second, func() bool { return r.workers() == 1 })
	cancel()
	if out := <-outcome; out.State != api.RunRevoked || r.workers() != 0 {
		t.Errorf("%s %+v with %d workers left", out.State, out.Failure, r.workers())
	}
}

func TestRevoke(t *testing.T) {
	r := open(t)
	tests := []struct {
		name  string
		cause error
		state api.RunState
		kind  api.Kind
	}{
		{"cancelled", nil, api.RunRevoked, api.LeaseRevoked},
		{"revoked", api.Refuse(api.LeaseRevoked, "because"), api.RunRevoked, api.LeaseRevoked},
		{"expired", api.Refuse(api.LeaseExpiredKind, "time"), api.RunExpired, api.DeadlineExceeded},
		{"deadline", context.DeadlineExceeded, api.RunExpired, api.DeadlineExceeded},
		{"other", errors.New("drained"), api.RunRevoked, api.LeaseRevoked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			outcome := make(chan work.Outcome, 1)
			go func() { outcome <- r.Run(ctx, guestJob(t, "loop")) }()
			awaitSpinning(t)
			start := time.Now()
			cancel(tt.cause)
			out := <-outcome
			if out.State != tt.state || out.Failure.Kind != tt.kind {
				t.Errorf("got %s %+v, want %s %s", out.State, out.Failure, tt.state, tt.kind)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %s", took)
			}
			if n := r.workers(); n != 0 {
				t.Errorf("%d workers are left", n)
			}
		})
	}
}

// TestConcurrency proves the bound on processes, that every run gets its turn, and that no
// worker serves two tenants.
func TestConcurrency(t *testing.T) {
	const most, runs = 3, 24
	r := open(t, func(c *Config) { c.MaxWorkers = most })
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if n := r.workers(); n > most {
				t.Errorf("%d workers, want at most %d", n, most)
				return
			}
			if n := len(childrenOf(t)); n > most {
				t.Errorf("%d child processes, want at most %d", n, most)
				return
			}
		}
	})
	var wg sync.WaitGroup
	for i := range runs {
		wg.Go(func() {
			j := guestJob(t, "show")
			j.Tenant = []api.TenantID{"a", "b", "c", "d"}[i%4]
			j.Env = []string{"TENANT=" + string(j.Tenant)}
			out := r.Run(t.Context(), j)
			if want := "guest show\nTENANT=" + string(j.Tenant) + "\n"; out.State != api.RunSucceeded || string(out.Stdout) != want {
				t.Errorf("%s %+v output %q want %q", out.State, out.Failure, out.Stdout, want)
			}
		})
	}
	wg.Wait()
	close(stop)
	watch.Wait()
}

// TestWaitEnds proves that waiting for a worker ends with the deadline and with the context.
func TestWaitEnds(t *testing.T) {
	r := open(t, func(c *Config) { c.MaxWorkers = 1 })
	hold, release := context.WithCancel(t.Context())
	held := make(chan work.Outcome, 1)
	go func() { held <- r.Run(hold, guestJob(t, "loop")) }()
	await(t, "the worker is busy", 10*time.Second, func() bool { return r.workers() == 1 })
	late := guestJob(t, "cat")
	late.Deadline = BootTime() + int64(50*time.Millisecond)
	if out := r.Run(t.Context(), late); out.State != api.RunExpired {
		t.Errorf("waited beyond its deadline: %s %+v", out.State, out.Failure)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out := r.Run(ctx, guestJob(t, "cat")); out.State != api.RunRevoked {
		t.Errorf("waited beyond its context: %s %+v", out.State, out.Failure)
	}
	release()
	<-held
	if out := r.Run(t.Context(), guestJob(t, "cat")); out.State != api.RunSucceeded {
		t.Errorf("after the wait: %s %+v", out.State, out.Failure)
	}
}

func TestIdleWorkerEnds(t *testing.T) {
	r := open(t, func(c *Config) { c.Idle = 50 * time.Millisecond })
	if out := r.Run(t.Context(), guestJob(t, "cat")); out.State != api.RunSucceeded {
		t.Fatalf("%s %+v", out.State, out.Failure)
	}
	await(t, "the idle worker ends", 10*time.Second, func() bool { return r.workers() == 0 })
}

// TestDeadIdleWorker proves that a worker that dies idle is no harm: it leaves the pool, and
// a run that still met it gets another.
func TestDeadIdleWorker(t *testing.T) {
	r := open(t)
	for range 30 {
		if out := r.Run(t.Context(), guestJob(t, "cat")); out.State != api.RunSucceeded {
			t.Fatalf("%s %+v", out.State, out.Failure)
		}
		r.mu.Lock()
		for _, p := range r.idle {
			p.kill()
		}
		r.mu.Unlock()
	}
	await(t, "the dead worker leaves the pool", 10*time.Second, func() bool { return r.workers() == 0 })
}
