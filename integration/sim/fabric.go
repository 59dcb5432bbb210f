package sim

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/control"
)

// fabric is how a cell reaches schedulers.
type fabric struct {
	w       *World
	self    *proc
	host    *host
	keeps   *custody
	urls    []string
	timeout time.Duration
}

// Close ends nothing: connections are not kept.
func (f *fabric) Close() error { return nil }

func (f *fabric) caller(ctx context.Context) context.Context {
	return api.WithCaller(ctx, api.Caller{
		Role: api.RoleCell, Provider: provider, Cell: f.host.id, SPKI: "key of " + string(f.host.id), Serial: "1",
		NotAfter: f.w.began.AddDate(100, 0, 0),
	})
}

// each tries the schedulers one after the other until one answers.
func each[T any](ctx context.Context, f *fabric, do func(context.Context, *scheduler) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(f.caller(ctx), f.timeout)
	defer cancel()
	var v T
	var err error
	for _, u := range f.urls {
		v, err = onScheduler(ctx, f.w, f.self, nameOf(u), do)
		if !errors.Is(err, errRefused) && !errors.Is(err, errReset) {
			break
		}
	}
	return v, lost(err)
}

// Bootstrap is not simulated: the cells have their certificates.
func (f *fabric) Bootstrap(context.Context, api.BootstrapRequest) (*api.BootstrapAnswer, error) {
	return nil, api.Refuse(api.Internal, "not simulated")
}

// RenewIdentity is not simulated: no world lasts as long as half a certificate.
func (f *fabric) RenewIdentity(context.Context, api.ProviderID, api.CellID, api.RenewalRequest) (*api.BootstrapAnswer, error) {
	return nil, api.Refuse(api.Internal, "not simulated")
}

// Register registers the agent.
func (f *fabric) Register(ctx context.Context, r api.RegisterRequest) (*api.RegisterAnswer, error) {
	return each(ctx, f, func(ctx context.Context, s *scheduler) (*api.RegisterAnswer, error) {
		return decide(ctx, s, func(ctx context.Context, c *control.Control) (*api.RegisterAnswer, error) { return c.Register(ctx, r) })
	})
}

// Report says what there is to say.
func (f *fabric) Report(ctx context.Context, p api.ProviderID, c api.CellID, r api.Report) (*api.ReportAnswer, error) {
	return each(ctx, f, func(ctx context.Context, s *scheduler) (*api.ReportAnswer, error) {
		return s.control.Report(ctx, p, c, r)
	})
}

// PutBlob stores an artifact.
func (f *fabric) PutBlob(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	return f.w.blobs.Put(ctx, d, size, r)
}

// GetBlob opens a module.
func (f *fabric) GetBlob(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	return f.w.blobs.Get(ctx, d)
}

// message is one of a session, or its end.
type message struct {
	set api.Desired
	err error
}

// pingEvery and pingsMissed are how a session notices that nothing comes through any more.
const (
	pingEvery   = 5 * time.Second
	pingsMissed = 3
)

// Watch holds a session at the first scheduler.
func (f *fabric) Watch(ctx context.Context, p api.ProviderID, c api.CellID, r api.WatchRequest) iter.Seq2[api.Desired, error] {
	return func(yield func(api.Desired, error) bool) {
		ctx, cancel := context.WithCancel(f.caller(ctx))
		defer cancel()
		to := nameOf(f.urls[0])
		there, err := onScheduler(ctx, f.w, f.self, to, func(_ context.Context, s *scheduler) (*scheduler, error) { return s, nil })
		if err != nil {
			yield(api.Desired{}, lost(err))
			return
		}
		messages := make(chan message)
		f.w.net.wg.Go(func() {
			defer close(messages)
			f.serve(ctx, there, messages, p, c, r)
		})
		f.follow(ctx, there, messages, !r.Standby, yield)
	}
}

// serve is the scheduler's end of a session.
func (f *fabric) serve(ctx context.Context, there *scheduler, messages chan<- message, p api.ProviderID, c api.CellID, r api.WatchRequest) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(there.proc.ctx, cancel)
	defer stop()
	for set, err := range there.control.Watch(ctx, p, c, r) {
		if !there.proc.awake() || !f.w.net.travel(ctx, there.seat.name, f.self.name) {
			return
		}
		select {
		case messages <- message{set, err}:
		case <-ctx.Done():
			return
		}
	}
}

// follow is the cell's end of a session.
func (f *fabric) follow(ctx context.Context, there *scheduler, messages <-chan message, active bool, yield func(api.Desired, error) bool) {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	missed := 0
	for {
		select {
		case m, open := <-messages:
			if !open {
				if ctx.Err() == nil {
					yield(api.Desired{}, lost(errReset))
				}
				return
			}
			if !f.deliver(ctx, m, active, yield) {
				return
			}
		case <-there.proc.dead:
			if f.w.net.travel(ctx, there.seat.name, f.self.name) && f.self.awake() {
				yield(api.Desired{}, lost(errReset))
			}
			return
		case <-ping.C:
			if missed++; f.self.stands() || !f.w.net.severed(there.seat.name, f.self.name) {
				missed = 0
			}
			if missed >= pingsMissed {
				yield(api.Desired{}, lost(errSilent))
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// deliver hands a message to the agent, when that runs, and notes what it heard; false is the end.
func (f *fabric) deliver(ctx context.Context, m message, active bool, yield func(api.Desired, error) bool) bool {
	if !f.self.awake() {
		return false
	}
	if active {
		f.keeps.heard(m.set)
	}
	if !yield(m.set, m.err) || m.err != nil {
		return false
	}
	// A session that was dropped meanwhile was not listened to.
	if active && ctx.Err() == nil {
		f.keeps.told(m.set)
	}
	return true
}
