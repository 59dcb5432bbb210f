package sim

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/cellagent"
	"github.com/grafos/grafos/cluster/control"
)

const provider = api.ProviderID("sim")

// host is a cell's machine: its clock and its name outlive its agent.
type host struct {
	w    *World
	id   api.CellID
	dir  string
	boot *bootClock
	room api.Resources
	stay

	mu    sync.Mutex
	agent *agent // guarded by mu: nil while it is down
}

// agent is one life of a cell.
type agent struct {
	host  *host
	proc  *proc
	agent *cellagent.Agent
	binds *binder
}

// bootClock is a machine's own clock: it runs from its boot, and a little fast or slow.
type bootClock struct {
	began time.Time
	ppm   int64
}

// Now returns nanoseconds since the boot.
func (c *bootClock) Now() int64 {
	d := int64(time.Since(c.began))
	return d + d/1_000_000*c.ppm
}

// BootID names the boot.
func (c *bootClock) BootID() string { return "boot-" + c.began.UTC().Format(time.RFC3339Nano) }

// NewAlarm returns an alarm on this clock.
func (c *bootClock) NewAlarm() (cellagent.Alarm, error) {
	return &alarm{clock: c, c: make(chan struct{}, 1)}, nil
}

type alarm struct {
	clock *bootClock
	c     chan struct{}
	timer *time.Timer
}

// Set replaces the time.
func (a *alarm) Set(at int64) error {
	if a.timer != nil {
		a.timer.Stop()
	}
	if at > 0 {
		left := at - a.clock.Now()
		left -= left / 1_000_000 * a.clock.ppm
		a.timer = time.AfterFunc(time.Duration(left), func() {
			select {
			case a.c <- struct{}{}:
			default:
			}
		})
	}
	return nil
}

// C gets a value when the time has come.
func (a *alarm) C() <-chan struct{} { return a.c }

// Close ends the alarm.
func (a *alarm) Close() error {
	if a.timer != nil {
		a.timer.Stop()
	}
	return nil
}

// start begins a life of the cell's agent.
func (h *host) start() error {
	w := h.w
	p := w.net.born(string(h.id))
	binds := &binder{host: h, open: map[api.LeaseID]*binding{}}
	broker, err := capbroker.New(capbroker.Config{ClusterID: clusterID, Cell: h.id, Now: time.Now})
	if err != nil {
		return err
	}
	a, err := cellagent.Start(p.ctx, cellagent.Config{
		Provider: provider, CellID: h.id, ClusterID: clusterID, Dir: h.dir, Schedulers: w.urls(), Version: "sim", Log: w.log,
	}, cellagent.Deps{
		Clock: h.boot, Host: binds, Runner: &runner{host: h}, Broker: minter{broker}, Random: w.dice,
		Dial: func(urls []string, timeout time.Duration) (cellagent.Fabric, error) {
			return &fabric{w: w, self: p, host: h, urls: urls, timeout: timeout}, nil
		},
		Probe: func(context.Context) (api.Inventory, error) {
			return api.Inventory{TotalCPU: h.room.CPU / 1000, TotalMem: h.room.Mem, TotalBlock: h.room.Block, TotalNet: h.room.Net, GPUs: []api.GPU{}}, nil
		},
		Capacity: func(api.Inventory) api.Resources { return h.room },
		Listener: newDeaf(),
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.agent = &agent{host: h, proc: p, agent: a, binds: binds}
	return nil
}

// kill ends the agent's life: what it had bound is gone with it.
func (h *host) kill() {
	h.mu.Lock()
	a := h.agent
	h.agent = nil
	h.mu.Unlock()
	if a == nil {
		return
	}
	h.w.net.die(a.proc)
	a.binds.vanish()
	if err := a.agent.Close(); err != nil {
		h.w.log.Debug("cell ended", "cell_id", string(h.id), "error", err)
	}
}

// fell kills the agent, and keeps it down until up is called.
func (h *host) fell() (up func()) {
	h.hold(1)
	h.kill()
	return func() { h.hold(-1) }
}

func (h *host) up() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.agent != nil
}

// held counts what is bound on the cell.
func (h *host) held() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.agent == nil {
		return 0
	}
	return h.agent.binds.count()
}

// minter is a broker whose claims are an interface.
type minter struct{ *capbroker.Broker }

// Verify verifies a token.
func (m minter) Verify(token string) (cellagent.Claims, error) { return m.Broker.Verify(token) }

// binder opens bindings and tells the checker of each.
type binder struct {
	host *host

	mu   sync.Mutex
	open map[api.LeaseID]*binding // guarded by mu
	used api.Resources            // guarded by mu
	gone bool                     // guarded by mu: the process has died
}

type binding struct {
	of    *binder
	lease api.Lease
	from  int64 // the cell's clock
}

var errGone = errors.New("the process has died")

// Bind opens a binding.
func (b *binder) Bind(l api.Lease) (cellagent.Opened, error) {
	if !prompt(l) {
		time.Sleep(b.host.w.dice.between(50*time.Microsecond, 2*time.Millisecond))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return nil, errGone
	}
	want := b.used.With(l.Kind, b.used.Get(l.Kind)+l.Amount)
	if !b.host.room.Fits(want) {
		b.host.w.check.doubleHolder(b.host.id, l, b.used)
		return nil, errors.New("no room")
	}
	b.used = want
	k := &binding{of: b, lease: l, from: b.host.boot.Now()}
	b.open[l.ID] = k
	b.host.w.check.bound(b.host.id, l)
	return k, nil
}

// Prompt makes some of the bindings such that wait for nothing.
func (b *binder) Prompt(l api.Lease) bool { return prompt(l) }

func prompt(l api.Lease) bool { return l.Epoch%2 == 0 }

// Close has nothing to close.
func (b *binder) Close() error { return nil }

// vanish is the death of the process.
func (b *binder) vanish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	clear(b.open)
	b.used = api.Resources{}
}

func (b *binder) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open)
}

// Close gives the binding back.
func (k *binding) Close(context.Context) error {
	slow := 2 * time.Millisecond
	if k.of.host.w.dice.chance(0.1) {
		slow = 700 * time.Millisecond // within its bound, and long enough to be given again if somebody is hasty
	}
	time.Sleep(k.of.host.w.dice.between(50*time.Microsecond, slow))
	return k.give()
}

// CloseNow gives the binding back where that waits for nothing.
func (k *binding) CloseNow() bool { return prompt(k.lease) && k.give() == nil }

func (k *binding) give() error {
	b := k.of
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return errGone
	}
	delete(b.open, k.lease.ID)
	b.used = b.used.With(k.lease.Kind, b.used.Get(k.lease.Kind)-k.lease.Amount)
	return nil
}

// Size is that of no bytes: nobody reads them here.
func (k *binding) Size() int64 { return 0 }

// ReadAt reads nothing.
func (k *binding) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

// WriteAt writes nothing.
func (k *binding) WriteAt([]byte, int64) (int, error) { return 0, io.ErrShortWrite }

// deaf is a data plane that nobody calls.
type deaf struct {
	once sync.Once
	end  chan struct{}
}

func newDeaf() *deaf { return &deaf{end: make(chan struct{})} }

// Accept waits for the end.
func (d *deaf) Accept() (net.Conn, error) {
	<-d.end
	return nil, net.ErrClosed
}

// Close is the end.
func (d *deaf) Close() error {
	d.once.Do(func() { close(d.end) })
	return nil
}

// Addr is none.
func (d *deaf) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7500} }

// fabric is how a cell reaches schedulers.
type fabric struct {
	w       *World
	self    *proc
	host    *host
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
		f.follow(ctx, there, messages, yield)
	}
}

// serve is the scheduler's end of a session.
func (f *fabric) serve(ctx context.Context, there *scheduler, messages chan<- message, p api.ProviderID, c api.CellID, r api.WatchRequest) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(there.proc.ctx, cancel)
	defer stop()
	for set, err := range there.control.Watch(ctx, p, c, r) {
		if !f.w.net.travel(ctx, there.seat.name, f.self.name) {
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
func (f *fabric) follow(ctx context.Context, there *scheduler, messages <-chan message, yield func(api.Desired, error) bool) {
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
			if !yield(m.set, m.err) || m.err != nil {
				return
			}
		case <-there.proc.dead:
			if f.w.net.travel(ctx, there.seat.name, f.self.name) {
				yield(api.Desired{}, lost(errReset))
			}
			return
		case <-ping.C:
			if missed++; !f.w.net.severed(there.seat.name, f.self.name) {
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
