package tasklet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// acquire returns a worker for a job that nobody else uses: a warm one of the tenant, best one that has
// the module, else a new one, for which another idle worker may have to go. When
// all are busy it waits, first come first served, until ctx ends.
func (r *Runner) acquire(ctx context.Context, j work.Job) (*process, error) {
	for {
		p, evicted, wait := r.take(j)
		if wait != nil {
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				r.leave(wait)
				return nil, context.Cause(ctx)
			}
		}
		if p != nil {
			return p, nil
		}
		if evicted != nil {
			evicted.end()
		}
		p, err := r.start(ctx, j.Tenant)
		if err != nil {
			r.freeSlot()
		}
		return p, err
	}
}

// take decides under the lock: a warm worker, a slot (with the idle worker that holds it, if
// any), or a channel that is closed when it is worth trying again.
func (r *Runner) take(j work.Job) (p, evicted *process, wait chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	best := -1
	for i, p := range r.idle {
		if p.suits(j) && (best < 0 || !r.idle[best].better(p, j.Module)) {
			best = i
		}
	}
	switch {
	case best >= 0:
		p = r.idle[best]
		r.idle = slices.Delete(r.idle, best, best+1)
	case r.slots < r.config.MaxWorkers:
		r.slots++
	case len(r.idle) > 0:
		evicted = r.idle[0]
		r.idle = slices.Delete(r.idle, 0, 1)
	default:
		wait = make(chan struct{})
		r.waiters = append(r.waiters, wait)
	}
	return p, evicted, wait
}

// better reports whether an idle worker is to be taken rather than another one: it has the module, or, of two
// that may not be equally nice, the nicer one, since the other one is for more jobs.
func (p *process) better(than *process, module api.Digest) bool {
	if has := p.holds(module); has != than.holds(module) {
		return has
	}
	return p.nice > than.nice
}

// leave takes a waiter that gave up out of the queue; one that was called already passes the
// call on.
func (r *Runner) leave(wait chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.waiters, wait); i >= 0 {
		r.waiters = slices.Delete(r.waiters, i, i+1)
		return
	}
	r.callNext()
}

// callNext lets the first waiter try again. mu is held.
func (r *Runner) callNext() {
	if len(r.waiters) > 0 {
		close(r.waiters[0])
		r.waiters = r.waiters[1:]
	}
}

// release gives a worker back: to wait for its tenant when it is fit, else to die.
func (r *Runner) release(p *process, fit bool) {
	if fit && r.park(p) {
		return
	}
	p.end()
	r.freeSlot()
}

// park makes a worker idle, unless the Runner is closing or the worker is dead.
func (r *Runner) park(p *process) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-p.dead:
		return false
	default:
	}
	if r.closed {
		return false
	}
	p.idleSince = time.Now()
	r.idle = append(r.idle, p)
	r.callNext()
	return true
}

// freeSlot says that a worker less exists.
func (r *Runner) freeSlot() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots--
	r.callNext()
}

// start makes a worker for a tenant, in a slot that the caller holds.
func (r *Runner) start(ctx context.Context, tenant api.TenantID) (*process, error) {
	dir, err := tenantCache(r.config.Dir, tenant)
	if err != nil {
		return nil, err
	}
	p, err := r.spawner.spawn(r.config, dir)
	if err != nil {
		return nil, err
	}
	p.tenant = tenant
	p.group = r.groups.put(p.cmd.Process.Pid)
	r.processes.Go(func() {
		p.wait()
		r.forget(p)
	})
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	if err := p.greet(); err != nil {
		p.end()
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("%w (worker %v; it said %q)", err, p.state, p.last)
	}
	r.log(p).Debug("worker started", "isolation", p.isolation)
	return p, nil
}

// forget takes a worker that died idle out of the pool.
func (r *Runner) forget(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.idle, p); i >= 0 {
		r.idle = slices.Delete(r.idle, i, i+1)
		_ = p.conn.Close()
		r.slots--
		r.callNext()
	}
}

// overdue takes the workers out of the pool that have been idle for too long, and returns them
// with the time after which to look again.
func (r *Runner) overdue(now time.Time) ([]*process, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.idle {
		if left := p.idleSince.Add(r.config.Idle).Sub(now); left > 0 {
			due := slices.Clone(r.idle[:i])
			r.idle = slices.Delete(r.idle, 0, i)
			return due, left
		}
	}
	due := r.idle
	r.idle = nil
	return due, r.config.Idle
}

func (r *Runner) log(p *process) hclog.Logger {
	return r.config.Log.With("tenant", p.tenant, "pid", p.cmd.Process.Pid)
}
