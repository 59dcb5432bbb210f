package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/control"
)

// client is somebody who leases: it grants, renews, frees, revokes and reads, and repeats
// under the same key whatever it did not learn the outcome of.
type client struct {
	w      *World
	proc   *proc
	tenant api.TenantID
	near   int // the scheduler that it asks first
	held   []hold
	keys   int
	// tickets are the tokens that it was given last.
	tickets []ticket
}

// hold is a lease that a client holds, until about when.
type hold struct {
	id    api.LeaseID
	until time.Time
}

const (
	// attemptTime bounds one request on its way, tryPause the pause before it is repeated.
	attemptTime = 30 * time.Second
	tryPause    = 100 * time.Millisecond
	// mostHeld bounds what a client holds at a time, mostBatch the requests of one batch.
	mostHeld  = 24
	mostBatch = 8
)

// run leases until ctx ends; what was begun is brought to its end first, until final ends.
func (c *client) run(ctx, final context.Context) {
	w := c.w
	for pass(ctx, w.dice.between(w.cfg.Pause/2, w.cfg.Pause*3/2)) {
		now := time.Now()
		c.held = slices.DeleteFunc(c.held, func(h hold) bool { return now.After(h.until) })
		switch n := w.dice.below(100); {
		case n < 10:
			c.grant(final)
		case n < 30:
			c.batch(final)
		case n < 38:
			c.renew(final)
		case n < 50:
			c.end(final)
		case n < 54:
			c.start(final)
		case n < 64:
			c.readStale(final)
		case n < 72:
			c.use(final)
		default:
			c.read(final)
		}
	}
}

// who is the client, for the scheduler.
func (c *client) who(ctx context.Context) context.Context {
	return api.WithCaller(ctx, api.Caller{Role: api.RoleTenant, Name: string(c.tenant)})
}

func (c *client) key() string {
	c.keys++
	return fmt.Sprintf("%s-%d", c.proc.name, c.keys)
}

// write has the leader do something, and repeats it with the same key until the outcome is
// known. It gives up only when ctx ends.
func write[T any](ctx context.Context, c *client, do func(context.Context, *control.Control, api.WriteOptions) (T, error)) (T, error) {
	o := api.WriteOptions{IdempotencyKey: c.key()}
	for {
		v, err := once(ctx, c, func(ctx context.Context, s *scheduler) (T, error) {
			return decide(ctx, s, func(ctx context.Context, ctl *control.Control) (T, error) { return do(ctx, ctl, o) })
		})
		if !unsure(err) {
			return v, err
		}
		c.near++
		if !pass(ctx, tryPause) {
			return v, errors.Join(errUnfinished, err)
		}
	}
}

// errUnfinished is the end of a world in the middle of a request.
var errUnfinished = errors.New("the outcome was not learned before the end")

// unsure reports whether a request is to be repeated.
func unsure(err error) bool {
	switch api.KindOf(err) { //nolint:exhaustive // the others are answers
	case api.NoLeader, api.OutcomeUnknown, api.Overloaded, api.SchedulerRemoved:
		return true
	}
	return false
}

// once makes one attempt at one scheduler.
func once[T any](ctx context.Context, c *client, do func(context.Context, *scheduler) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(c.who(ctx), attemptTime)
	defer cancel()
	names := c.w.schedulerNames()
	v, err := onScheduler(ctx, c.w, c.proc, names[c.near%len(names)], do)
	return v, lost(err)
}

// request is what a client asks for: short, so that most of it ends by itself.
func (c *client) request() api.LeaseRequest {
	d := c.w.dice
	return api.LeaseRequest{
		Provider: provider, TTLMs: d.between(time.Second, 20*time.Second).Milliseconds(), Priority: api.PriorityStandard,
		Resources: api.Resources{CPU: int64(50 * (1 + d.below(4))), Mem: int64(d.below(2)) << 20, Block: int64(d.below(3)) << 20},
	}
}

// batch asks for several at once; each is answered on its own.
func (c *client) batch(ctx context.Context) {
	n := min(1+c.w.dice.below(mostBatch), mostHeld-len(c.held))
	if n <= 0 {
		return
	}
	var r api.BatchRequest
	for range n {
		r.Requests = append(r.Requests, api.BatchItem{LeaseRequest: c.request()})
	}
	a, err := write(ctx, c, func(ctx context.Context, ctl *control.Control, o api.WriteOptions) (*api.BatchAnswer, error) {
		return ctl.RequestBatch(ctx, r, o)
	})
	if err != nil {
		c.w.check.refused("batch", err)
		return
	}
	for _, item := range a.Answers {
		if item.Problem != nil {
			c.w.check.refused("grant", item.Problem)
			continue
		}
		c.got(item.Grant)
	}
}

// got notes what was granted.
func (c *client) got(g *api.GrantSet) {
	for _, l := range g.Leases {
		c.w.check.granted(l.Lease)
		c.keep(l)
		c.held = append(c.held, hold{l.ID, time.Now().Add(l.TTL())})
	}
}

func (c *client) grant(ctx context.Context) {
	w := c.w
	if len(c.held) >= mostHeld {
		return
	}
	r := c.request()
	g, err := write(ctx, c, func(ctx context.Context, ctl *control.Control, o api.WriteOptions) (*api.GrantSet, error) {
		return ctl.RequestLeases(ctx, r, o)
	})
	if err != nil {
		w.check.refused("grant", err)
		return
	}
	c.got(g)
}

// one returns a lease that the client holds, or held.
func (c *client) one() (api.LeaseID, bool) {
	if len(c.held) == 0 {
		return "", false
	}
	return pick(c.w.dice, c.held).id, true
}

func (c *client) renew(ctx context.Context) {
	id, ok := c.one()
	if !ok {
		return
	}
	r := api.RenewRequest{TTLMs: c.w.dice.between(2*time.Second, 30*time.Second).Milliseconds()}
	a, err := write(ctx, c, func(ctx context.Context, ctl *control.Control, o api.WriteOptions) (*api.LeaseAnswer, error) {
		return ctl.RenewLease(ctx, id, r, o)
	})
	if err != nil {
		c.drop(id, err)
		return
	}
	c.w.check.renewed(a.Lease.Lease)
	c.void(ctx, id)
	c.keep(a.Lease)
	c.forget(id)
	c.held = append(c.held, hold{id, time.Now().Add(a.Lease.TTL())})
}

func (c *client) end(ctx context.Context) {
	id, ok := c.one()
	if !ok {
		return
	}
	revoke := c.w.dice.chance(0.3)
	a, err := write(ctx, c, func(ctx context.Context, ctl *control.Control, o api.WriteOptions) (*api.LeaseAnswer, error) {
		if revoke {
			return ctl.RevokeLease(ctx, id, api.RevokeRequest{GraceMs: 200}, o)
		}
		return ctl.FreeLease(ctx, id, o)
	})
	if err != nil {
		c.drop(id, err)
		return
	}
	c.w.check.ended(a.Lease.Lease)
	c.forget(id)
	c.void(ctx, id)
	if c.w.dice.chance(0.3) {
		c.look(ctx, id)
	}
}

// drop forgets a lease that an answer said to be over.
func (c *client) drop(id api.LeaseID, err error) {
	c.w.check.refused("lease", err)
	c.forget(id)
}

func (c *client) forget(id api.LeaseID) {
	c.held = slices.DeleteFunc(c.held, func(h hold) bool { return h.id == id })
}

// read reads a lease that it holds, and has the answer compared with what was known before it
// began.
func (c *client) read(ctx context.Context) {
	if id, ok := c.one(); ok {
		c.look(ctx, id)
	}
}

// look reads one lease.
func (c *client) look(ctx context.Context, id api.LeaseID) {
	c.near++
	known := c.w.check.known(id)
	a, err := once(ctx, c, func(ctx context.Context, s *scheduler) (*api.LeaseAnswer, error) {
		return s.control.ShowLease(ctx, id, api.ReadOptions{Consistency: api.Linearizable})
	})
	if unsure(err) {
		c.w.check.refused("read", err)
		return
	}
	c.w.check.read(id, known, a, err)
	if err == nil && a.Lease.State.Terminal() {
		c.forget(id)
	}
}

// readStale reads what one scheduler knows: it may be old, but is never newer than it says.
func (c *client) readStale(ctx context.Context) {
	id, ok := c.one()
	if !ok {
		return
	}
	a, err := once(ctx, c, func(ctx context.Context, s *scheduler) (*api.LeaseAnswer, error) {
		return s.control.ShowLease(ctx, id, api.ReadOptions{Consistency: api.Stale})
	})
	if err == nil {
		c.w.check.stale(a)
		if a.Lease.State.Terminal() {
			c.forget(id)
		}
	}
}

// start starts a run.
func (c *client) start(ctx context.Context) {
	w := c.w
	r := api.RunRequest{
		Provider: provider, Module: w.module, Resources: api.Resources{CPU: 200, Mem: 1 << 20},
		TTLMs: w.dice.between(2*time.Second, 20*time.Second).Milliseconds(), Retries: w.dice.below(3),
	}
	a, err := write(ctx, c, func(ctx context.Context, ctl *control.Control, o api.WriteOptions) (*api.RunAnswer, error) {
		return ctl.StartRun(ctx, r, o)
	})
	if err != nil {
		w.check.refused("run", err)
		return
	}
	w.check.started(a.Run)
}
