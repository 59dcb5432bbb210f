package tasklet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// Runner runs jobs in worker processes. It is safe for concurrent use.
type Runner struct {
	config    Config
	isolation []string
	groups    *groups
	spawner   *spawner
	compiling keyedLock
	closing   chan struct{}  // closed when Close begins
	runs      sync.WaitGroup // of Run and Prepare
	processes sync.WaitGroup // one goroutine for each worker
	janitor   sync.WaitGroup
	once      sync.Once // of close

	mu      sync.Mutex
	closed  bool
	slots   int        // workers that exist or are being started
	idle    []*process // longest idle first
	waiters []chan struct{}
}

// Open starts a Runner, and one worker to see that workers start and what confines them.
// What ctx says ends nothing but Open.
func Open(ctx context.Context, c Config) (*Runner, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := openCache(c.Dir); err != nil {
		return nil, err
	}
	if err := sweepCache(c.Dir, c.MaxCache); err != nil {
		return nil, err
	}
	r := &Runner{config: c, groups: openGroups(c.Cgroup), spawner: newSpawner(), closing: make(chan struct{})}
	if err := r.probe(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("try a worker: %w", err), r.Close())
	}
	r.janitor.Go(r.clean)
	c.Log.Info("tasklet workers are ready", "isolation", r.isolation, "max_workers", c.MaxWorkers)
	return r, nil
}

// probe starts a worker that serves nobody and reads what confines it.
func (r *Runner) probe(ctx context.Context) error {
	r.slots++ // nobody else is here yet
	defer r.freeSlot()
	p, err := r.start(ctx, "")
	if err != nil {
		return err
	}
	r.isolation = append(p.isolation, r.groups.names()...)
	p.end()
	return nil
}

// Isolation lists what confines the workers on this host: process, no_new_privs, rlimits,
// deadline_timer and parent_death always, and whichever of landlock_vN, no_capabilities,
// undumpable, seccomp, cgroup_v1_cpu, cgroup_v1_memory, cgroup_v2_cpu and cgroup_v2_memory
// the kernel and the agent's rights allow.
func (r *Runner) Isolation() []string { return slices.Clone(r.isolation) }

// Close kills every worker, waits for every Run to return and every process to be gone.
func (r *Runner) Close() error {
	r.once.Do(r.close)
	return nil
}

func (r *Runner) close() {
	r.mu.Lock()
	r.closed = true
	idle := r.idle
	r.idle = nil
	r.mu.Unlock()

	close(r.closing)
	for _, p := range idle {
		p.end()
	}
	r.runs.Wait()
	r.janitor.Wait()
	r.processes.Wait()
	r.spawner.close()
	r.groups.sweep()
}

// errClosed is why runs end when the Runner does.
func errClosed() error { return api.Refuse(api.WorkerLost, "the cell agent is stopping") }

// enter admits a call to Run or Prepare; the caller says runs.Done at its end.
func (r *Runner) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.runs.Add(1)
	return true
}

// Run runs a job to its end and returns what became of it. When ctx ends, the worker is
// killed and the run is revoked, or expired when the cause of ctx's end says so
// (context.DeadlineExceeded, or a refusal of kind deadline_exceeded or lease_expired).
func (r *Runner) Run(ctx context.Context, job work.Job) work.Outcome {
	job = job.WithDefaults()
	if err := job.Check(); err != nil {
		return work.Failed(failureOf(err))
	}
	return r.run(ctx, job, false)
}

// Prepare validates and compiles a module for a tenant, so that its first run is a warm one.
// It refuses a module that would not run with the kind and message that the run would have.
func (r *Runner) Prepare(ctx context.Context, tenant api.TenantID, module api.Digest, path string) error {
	job := work.Job{
		Tenant: tenant, Module: module, ModulePath: path,
		Deadline: BootTime() + int64(4*r.config.compileBudget(api.MaxModuleBytes)),
	}.WithDefaults()
	if err := job.Check(); err != nil {
		return err
	}
	if out := r.run(ctx, job, true); out.State != api.RunSucceeded {
		return api.Refuse(out.Failure.Kind, "prepare module %s: %s", module, out.Failure.Message)
	}
	return nil
}

// run bounds a job by its deadline and by the Runner's life, and gives it a worker.
func (r *Runner) run(ctx context.Context, job work.Job, prepare bool) work.Outcome {
	if !r.enter() {
		return work.Failed(failureOf(errClosed()))
	}
	defer r.runs.Done()
	ctx, stop := r.bounded(ctx, job.Word)
	defer stop()

	for attempt := 0; ; attempt++ {
		if ctx.Err() != nil {
			return ended(ctx, context.Cause(ctx))
		}
		p, err := r.acquire(ctx, job)
		if err != nil {
			return ended(ctx, err)
		}
		e := execution{runner: r, process: p, job: job, prepare: prepare}
		out, fit := e.do(ctx)
		r.release(p, fit)
		// A warm worker may have died before it got the job: nothing has run then.
		if e.undelivered && attempt == 0 && out.Failure.Kind == api.WorkerLost {
			continue
		}
		return out
	}
}

// bounded returns a context that also ends at the run's deadline, which may move, and when the
// Runner closes. The caller calls stop.
func (r *Runner) bounded(ctx context.Context, word *work.Word) (until context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			deadline, _, changed := word.Now()
			left := time.Duration(deadline - BootTime())
			if left <= 0 {
				cancel(errDeadline())
				return
			}
			timer := time.NewTimer(left)
			select {
			case <-timer.C:
			case <-changed:
			case <-r.closing:
				cancel(errClosed())
			case <-ctx.Done():
			}
			timer.Stop()
			if ctx.Err() != nil {
				return
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		watch.Wait()
	}
}

// clean ends idle workers in time, and keeps the code cache within its bound.
func (r *Runner) clean() {
	wait := r.config.Idle
	for {
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-r.closing:
			timer.Stop()
			return
		case now := <-timer.C:
			var due []*process
			due, wait = r.overdue(now)
			for _, p := range due {
				r.log(p).Debug("idle worker ends")
				r.release(p, false)
			}
			if err := sweepCache(r.config.Dir, r.config.MaxCache); err != nil {
				r.config.Log.Warn("code cache is not swept", "error", err)
			}
		}
	}
}
