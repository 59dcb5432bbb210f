package cellagent

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"iter"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/cellagent/ledger"
	"github.com/grafos/grafos/cellagent/work"
)

// fakeClock is a boot clock on the bubble's time, which can also jump, as after a suspend.
type fakeClock struct {
	boot  string
	start time.Time

	mu     sync.Mutex
	jumped time.Duration
	alarms []*fakeAlarm
}

func newFakeClock() *fakeClock {
	return &fakeClock{boot: "boot-1", start: time.Now().Add(-time.Hour)}
}

func (c *fakeClock) BootID() string { return c.boot }

func (c *fakeClock) Now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(time.Since(c.start) + c.jumped)
}

// jump lets time pass on this clock alone, and wakes whoever waits for it.
func (c *fakeClock) jump(d time.Duration) {
	c.mu.Lock()
	c.jumped += d
	alarms := slices.Clone(c.alarms)
	c.mu.Unlock()
	for _, a := range alarms {
		a.fire()
	}
}

func (c *fakeClock) NewAlarm() (Alarm, error) {
	a := &fakeAlarm{clock: c, c: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alarms = append(c.alarms, a)
	return a, nil
}

type fakeAlarm struct {
	clock *fakeClock
	c     chan struct{}
	timer *time.Timer
}

func (a *fakeAlarm) Set(at int64) error {
	if a.timer != nil {
		a.timer.Stop()
	}
	if at > 0 {
		a.timer = time.AfterFunc(time.Duration(at-a.clock.Now()), a.fire)
	}
	return nil
}

func (a *fakeAlarm) fire() {
	select {
	case a.c <- struct{}{}:
	default:
	}
}

func (a *fakeAlarm) C() <-chan struct{} { return a.c }

func (a *fakeAlarm) Close() error {
	if a.timer != nil {
		a.timer.Stop()
	}
	return nil
}

// cluster is the schedulers, as a cell sees them: one state, several nodes.
type cluster struct {
	t *testing.T

	mu       sync.Mutex
	index    uint64
	epoch    uint64
	leases   map[api.LeaseID]api.Lease
	runs     map[api.RunID]api.Run
	blobs    map[api.Digest][]byte
	nodes    map[string]*node
	reports  []api.Report // committed ones
	minted   []api.Minted
	tokens   map[api.LeaseID]string
	agents   []string
	judge    func(string, api.Report) (*api.ReportAnswer, error) // nil, nil goes on
	putBlob  func(api.Digest) error
	register func() error
	renewals []string // what was asked to be certified
	certify  func(csr string) (*api.BootstrapAnswer, error)
	changed  chan struct{}
	relays   map[string]*relayed
	// recoveries and fencing are the numbers that sets say, fenced the fences, where they say any.
	recoveries, fencing uint64
	fenced              []api.Lease
	tellFences          bool
}

type node struct {
	url     string
	up      bool
	down    chan struct{}
	watches []api.WatchRequest
	active  int
	standby int
	reports int
	push    chan api.Desired // sent as it is to the active session
	slow    time.Duration    // before the first message of a session
}

func newCluster(t *testing.T, urls ...string) *cluster {
	t.Helper()
	c := &cluster{
		t: t, index: 10, leases: map[api.LeaseID]api.Lease{}, runs: map[api.RunID]api.Run{},
		blobs: map[api.Digest][]byte{}, nodes: map[string]*node{}, tokens: map[api.LeaseID]string{},
		changed: make(chan struct{}), relays: map[string]*relayed{},
	}
	for _, u := range urls {
		c.nodes[u] = &node{url: u, up: true, down: make(chan struct{}), push: make(chan api.Desired)}
	}
	return c
}

// change changes the state under the next index.
func (c *cluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// put stores a lease as changed.
func (c *cluster) put(l api.Lease) {
	c.change(func() { l.Modified = c.index; c.leases[l.ID] = l })
}

func (c *cluster) lease(id api.LeaseID) api.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leases[id]
}

func (c *cluster) run(id api.RunID) api.Run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs[id]
}

func (c *cluster) token(id api.LeaseID) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tokens[id]
}

func (c *cluster) reportsAt(url string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[url].reports
}

// setJudge replaces what decides about reports to a node, by its address, before they are committed.
func (c *cluster) setJudge(f func(string, api.Report) (*api.ReportAnswer, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.judge = f
}

// kill ends a node: its sessions end, nothing on it answers.
func (c *cluster) kill(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.nodes[url]; n.up {
		n.up = false
		close(n.down)
	}
}

func (c *cluster) revive(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[url]
	n.up, n.down = true, make(chan struct{})
}

// holder returns the nodes that hold the active and the standby session.
func (c *cluster) holder() (active, standby string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for u, n := range c.nodes {
		if n.active > 0 {
			active = u
		}
		if n.standby > 0 {
			standby = u
		}
	}
	return active, standby
}

func (c *cluster) dial(urls []string, _, _ time.Duration) (Fabric, error) {
	if len(urls) == 0 {
		return nil, errors.New("no address")
	}
	return &fakeFabric{c: c, urls: slices.Clone(urls)}, nil
}

type fakeFabric struct {
	c    *cluster
	urls []string
}

// node returns the first node of the fabric that is up.
func (f *fakeFabric) node() (*node, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	for _, u := range f.urls {
		if n := f.c.nodes[u]; n != nil && n.up {
			return n, nil
		}
	}
	return nil, api.Refuse(api.NoLeader, "no scheduler answers")
}

func (f *fakeFabric) Close() error { return nil }

func (f *fakeFabric) Bootstrap(_ context.Context, r api.BootstrapRequest) (*api.BootstrapAnswer, error) {
	return f.certify("lapsed " + r.CSR)
}

func (f *fakeFabric) RenewIdentity(_ context.Context, _ api.ProviderID, _ api.CellID, r api.RenewalRequest) (*api.BootstrapAnswer, error) {
	return f.certify(r.CSR)
}

// certify notes what was asked for, and answers as the test says.
func (f *fakeFabric) certify(csr string) (*api.BootstrapAnswer, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.renewals = append(f.c.renewals, csr)
	if f.c.certify == nil {
		return nil, api.Refuse(api.Internal, "not here")
	}
	return f.c.certify(csr)
}

func (f *fakeFabric) Register(_ context.Context, r api.RegisterRequest) (*api.RegisterAnswer, error) {
	n, err := f.node()
	if err != nil {
		return nil, err
	}
	if f.c.register != nil {
		if err := f.c.register(); err != nil {
			return nil, err
		}
	}
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if !slices.Contains(f.c.agents, r.Agent) {
		f.c.agents = append(f.c.agents, r.Agent)
		f.c.epoch++
	}
	_ = n
	return &api.RegisterAnswer{
		Fence: f.c.fencing, ClusterEpoch: f.c.recoveries,
		Index: f.c.index, ClusterID: "g-test", Epoch: f.c.epoch, HeartbeatMs: 250, LimitMs: 3000,
		Schedulers: slices.Sorted(maps.Keys(f.c.nodes)),
	}, nil
}

func (f *fakeFabric) Watch(ctx context.Context, _ api.ProviderID, _ api.CellID, r api.WatchRequest) iter.Seq2[api.Desired, error] {
	return func(yield func(api.Desired, error) bool) {
		n, err := f.node()
		if err != nil {
			yield(api.Desired{}, err)
			return
		}
		c := f.c
		c.mu.Lock()
		if r.Epoch != c.epoch {
			c.mu.Unlock()
			yield(api.Desired{}, api.Refuse(api.StaleEpoch, "epoch %d", r.Epoch))
			return
		}
		n.watches = append(n.watches, r)
		count := &n.active
		if r.Standby {
			count = &n.standby
		}
		*count++
		down, slow := n.down, n.slow
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			*count--
			c.mu.Unlock()
		}()
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return
		}
		full, sent := true, uint64(0)
		for {
			c.mu.Lock()
			d := api.Desired{Index: c.index, Full: full && !r.Standby, Schedulers: slices.Sorted(maps.Keys(c.nodes))}
			if !r.Standby {
				d.Epoch, d.ClusterEpoch, d.Fences, d.Fenced = c.fencing, c.recoveries, c.tellFences, slices.Clone(c.fenced)
			}
			for _, id := range slices.Sorted(maps.Keys(c.leases)) {
				l := c.leases[id]
				if !r.Standby && (full && !l.State.Terminal() || !full && l.Modified > sent && (!r.NoEcho || !l.State.Terminal())) {
					d.Leases = append(d.Leases, l)
				}
			}
			for _, id := range slices.Sorted(maps.Keys(c.runs)) {
				run := c.runs[id]
				if !r.Standby && (full && !run.State.Terminal() || !full && run.Modified > sent) {
					d.Runs = append(d.Runs, run)
				}
			}
			sent = c.index
			changed := c.changed
			c.mu.Unlock()
			if (full || d.Fences || len(d.Leases)+len(d.Runs) > 0) && !yield(d, nil) {
				return
			}
			full = false
			select {
			case <-changed:
			case <-down:
				yield(api.Desired{}, api.Refuse(api.NoLeader, "the session broke off"))
				return
			case p := <-n.pushTo(r):
				if !yield(p, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func (n *node) pushTo(r api.WatchRequest) chan api.Desired {
	if r.Standby {
		return nil
	}
	return n.push
}

func (f *fakeFabric) Report(ctx context.Context, _ api.ProviderID, _ api.CellID, r api.Report) (*api.ReportAnswer, error) {
	n, err := f.node()
	if err != nil {
		return nil, err
	}
	c := f.c
	c.mu.Lock()
	judge := c.judge
	c.mu.Unlock()
	if judge != nil {
		if a, err := judge(n.url, r); a != nil || err != nil {
			return a, err
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.mu.Lock()
	n.reports++
	if r.Epoch != c.epoch {
		c.mu.Unlock()
		return nil, api.Refuse(api.StaleEpoch, "epoch %d", r.Epoch)
	}
	c.minted = append(c.minted, r.Minted...)
	c.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports = append(c.reports, r)
	if len(r.Bound)+len(r.Ended)+len(r.Runs) > 0 {
		c.index++
		c.commit(r)
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return &api.ReportAnswer{Index: c.index}, nil
}

// commit does what the state machine does with a report, roughly.
func (c *cluster) commit(r api.Report) {
	for _, run := range r.Runs {
		have := c.runs[run.RunID]
		if have.State.Terminal() || have.Attempt != run.Attempt {
			continue
		}
		have.State, have.ExitCode, have.Artifacts, have.Failure, have.Modified = run.State, run.ExitCode, run.Artifacts, run.Failure, c.index
		c.runs[run.RunID] = have
	}
	for _, b := range r.Bound {
		l := c.leases[b.LeaseID]
		if l.Generation == b.Generation && !l.State.Terminal() {
			l.BoundGeneration, l.Coordinate, l.Modified = b.Generation, b.Coordinate, c.index
			c.leases[l.ID] = l
			c.tokens[l.ID] = b.Token
		}
	}
	for _, e := range r.Ended {
		l, ok := c.leases[e.LeaseID]
		if ok && !l.State.Terminal() {
			l.State, l.Reason, l.Modified = e.State, e.Reason, c.index
			c.leases[l.ID] = l
		}
	}
}

func (f *fakeFabric) PutBlob(_ context.Context, d api.Digest, size int64, r io.Reader) error {
	if _, err := f.node(); err != nil {
		return err
	}
	if f.c.putBlob != nil {
		if err := f.c.putBlob(d); err != nil {
			return err
		}
	}
	data, err := io.ReadAll(r)
	if err != nil || int64(len(data)) != size || api.DigestOf(sha256.Sum256(data)) != d {
		return api.Refuse(api.DigestMismatch, "blob %s", d)
	}
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.blobs[d] = data
	return nil
}

func (f *fakeFabric) GetBlob(_ context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	if _, err := f.node(); err != nil {
		return nil, 0, err
	}
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	data, ok := f.c.blobs[d]
	if !ok {
		return nil, 0, api.Refuse(api.NotFound, "blob %s", d)
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

// blob stores bytes and returns their digest.
func (c *cluster) blob(data string) api.Digest {
	d := api.DigestOf(sha256.Sum256([]byte(data)))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blobs[d] = []byte(data)
	return d
}

// fakeHost opens bindings in memory.
type fakeHost struct {
	synced  atomic.Int64
	mu      sync.Mutex
	open    map[api.LeaseID]*fakeBinding
	binds   int
	closed  map[api.LeaseID]int64 // when, on the clock
	fenced  map[api.LeaseID]ledger.Entry
	clock   Clock
	refuse  error
	opening map[api.LeaseID]bool
	// unfenced counts the calls of Unfence.
	unfenced int
	slow     time.Duration // of Bind
	prompt   bool          // Bind and CloseNow wait for nothing
	onClose  func(ctx context.Context, id api.LeaseID) error
	net      work.Net // of every binding
	halted   map[api.LeaseID]int64
}

type fakeBinding struct {
	host *fakeHost
	id   api.LeaseID
	mu   sync.Mutex
	data []byte
	shut bool
	// until is what Until was told last.
	until int64
}

func (h *fakeHost) Bind(l api.Lease) (Opened, error) {
	if h.slow > 0 {
		h.begin(l.ID)
		time.Sleep(h.slow)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.opening, l.ID)
	if h.refuse != nil {
		return nil, h.refuse
	}
	if _, ok := h.open[l.ID]; ok {
		return nil, errors.New("bound twice: " + string(l.ID))
	}
	h.binds++
	b := &fakeBinding{host: h, id: l.ID, data: make([]byte, min(l.Amount, 1<<20))}
	h.open[l.ID] = b
	return b, nil
}

// Net is the host's.
func (b *fakeBinding) Net() work.Net { return b.host.net }

// Halt notes when it was called.
func (b *fakeBinding) Halt() {
	b.host.mu.Lock()
	defer b.host.mu.Unlock()
	if b.host.halted == nil {
		b.host.halted = map[api.LeaseID]int64{}
	}
	b.host.halted[b.id] = b.host.clock.Now()
}

func (h *fakeHost) begin(id api.LeaseID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.opening == nil {
		h.opening = map[api.LeaseID]bool{}
	}
	h.opening[id] = true
}

// Adopt finds a block that an agent before left.
func (h *fakeHost) Adopt(id api.LeaseID) (Opened, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.open[id]
	return b, ok
}

func (h *fakeHost) Fence(e ledger.Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fenced == nil {
		h.fenced = map[api.LeaseID]ledger.Entry{}
	}
	h.fenced[e.Lease] = e
}

// Unfence tears down what is there, as the real one does; what is unknown holds nothing.
func (h *fakeHost) Unfence(ctx context.Context, id api.LeaseID) error {
	h.mu.Lock()
	b, opening := h.open[id], h.opening[id]
	h.unfenced++
	h.mu.Unlock()
	if opening {
		return api.Refuse(api.Conflict, "lease %s is being bound", id)
	}
	if b != nil {
		if err := b.Close(ctx); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.fenced, id)
	return nil
}

// counts returns how often Bind and Unfence were called.
func (h *fakeHost) counts() (binds, lifts int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.binds, h.unfenced
}

func (h *fakeHost) fences() []api.LeaseID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.fenced))
}

func (b *fakeBinding) Until(deadline int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until = deadline
}

func (h *fakeHost) Prompt(api.Lease) bool { return h.prompt && h.slow == 0 }

func (h *fakeHost) Close() error { return nil }

func (h *fakeHost) bound(id api.LeaseID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.open[id]
	return ok
}

func (h *fakeHost) closedAt(id api.LeaseID) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed[id]
}

func (b *fakeBinding) Size() int64 { return int64(len(b.data)) }

func (b *fakeBinding) ReadAt(p []byte, off int64) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return 0, errors.New("binding is closed")
	}
	return copy(p, b.data[off:]), nil
}

func (b *fakeBinding) WriteAt(p []byte, off int64) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return 0, errors.New("binding is closed")
	}
	return copy(b.data[off:], p), nil
}

// Sync counts how often somebody waited for the disk.
func (b *fakeBinding) Sync() error {
	b.host.synced.Add(1)
	return nil
}

func (b *fakeBinding) CloseNow() bool {
	return b.host.prompt && b.host.slow == 0 && b.host.onClose == nil && b.Close(context.Background()) == nil
}

func (b *fakeBinding) Close(ctx context.Context) error {
	if b.host.onClose != nil {
		if err := b.host.onClose(ctx, b.id); err != nil {
			return err
		}
	}
	b.mu.Lock()
	b.shut = true
	b.mu.Unlock()
	b.host.mu.Lock()
	defer b.host.mu.Unlock()
	delete(b.host.open, b.id)
	b.host.closed[b.id] = b.host.clock.Now()
	return nil
}

// fakeRunner runs what a test says; without it a job lasts until it is stopped.
type fakeRunner struct {
	mu   sync.Mutex
	jobs []work.Job
	do   func(ctx context.Context, j work.Job) work.Outcome
}

func (r *fakeRunner) Run(ctx context.Context, j work.Job) work.Outcome {
	r.mu.Lock()
	r.jobs = append(r.jobs, j)
	do := r.do
	r.mu.Unlock()
	if do != nil {
		return do(ctx, j)
	}
	<-ctx.Done()
	return work.Outcome{State: api.RunRevoked, Stderr: []byte("killed")}
}

func (r *fakeRunner) Close() error { return nil }

func (r *fakeRunner) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.jobs)
}

// pipeListener accepts nothing: the data plane is tested through its handler.
type pipeListener struct {
	once sync.Once
	end  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	<-l.end
	return nil, net.ErrClosed
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.end) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7500} }

// bench is a cell with everything round it faked but the broker.
type bench struct {
	t        *testing.T
	cluster  *cluster
	clock    *fakeClock
	host     *fakeHost
	runner   *fakeRunner
	identity *fakeIdentity // nil is none
	agent    *Agent
	dir      string
	disk     ledger.Memory // of the ledger
	keep     ledger.Disk   // instead of it
	stamp    *api.Stamp    // of the leases of runs; nil is now
	said     *lines        // the agent's log; nil is that it is not kept
}

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// with returns the lines that have a word.
func (l *lines) with(word string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, word) {
			found = append(found, line)
		}
	}
	return found
}

type realBroker struct{ *capbroker.Broker }

func (b realBroker) Verify(token string) (Claims, error) {
	v, err := b.Broker.Verify(token)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// newBench makes a bench inside a bubble; the agent is started by start.
func newBench(t *testing.T, urls ...string) *bench {
	t.Helper()
	if len(urls) == 0 {
		urls = []string{"https://s1", "https://s2", "https://s3"}
	}
	clock := newFakeClock()
	b := &bench{
		t: t, cluster: newCluster(t, urls...), clock: clock, dir: t.TempDir(), runner: &fakeRunner{},
		host: &fakeHost{open: map[api.LeaseID]*fakeBinding{}, closed: map[api.LeaseID]int64{}, clock: clock},
	}
	return b
}

func (b *bench) start() {
	b.t.Helper()
	broker, err := capbroker.New(capbroker.Config{ClusterID: "g-test", Cell: "local-1", Now: anchoredWall(b.clock, time.Now())})
	if err != nil {
		b.t.Fatal(err)
	}
	var keep ledger.Disk = &b.disk
	if b.keep != nil {
		keep = b.keep
	}
	book, _, err := ledger.Open(keep, b.clock.BootID())
	if err != nil {
		b.t.Fatal(err)
	}
	urls := slices.Sorted(maps.Keys(b.cluster.nodes))
	var identity Identity
	if b.identity != nil {
		identity = b.identity
	}
	config := Config{Dir: b.dir, Provider: "local", CellID: "local-1", ClusterID: "g-test", Schedulers: urls, Version: "test", Log: b.logger()}
	b.agent, err = Start(b.t.Context(), config, Deps{
		Clock: b.clock, Dial: b.cluster.dial, Host: b.host, Runner: b.runner, Broker: realBroker{broker}, Ledger: book, Random: rand.Reader,
		Probe: func(context.Context) (api.Inventory, error) {
			return api.Inventory{TotalCPU: 4, TotalMem: 8 << 30, TotalBlock: 1 << 30}, nil
		},
		Capacity: func(inv api.Inventory) api.Resources { return capacityOf(inv, api.Resources{}, 1<<20) },
		Identity: identity, Listener: &pipeListener{end: make(chan struct{})},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// logger keeps what is said where a test wants to read it.
func (b *bench) logger() hclog.Logger {
	if b.said == nil {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{Output: b.said, Level: hclog.Info})
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.agent.Close(); err != nil {
		b.t.Errorf("close agent: %v", err)
	}
}

// inBubble runs a test on a started bench in fake time: with bindings for which goroutines wait, and
// with such that are opened and closed at once.
func inBubble(t *testing.T, f func(b *bench)) {
	t.Helper()
	for _, prompt := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.host.prompt = prompt
			b.start()
			defer b.close()
			f(b)
			if t.Failed() {
				t.Logf("with bindings that are opened and closed at once: %t", prompt)
			}
		})
	}
}

// grant makes a lease that is stamped now.
func (b *bench) grant(id string, ttl time.Duration, change ...func(*api.Lease)) api.Lease {
	l := api.Lease{
		ID: api.LeaseID(id), Tenant: "acme", Provider: "local", CellID: "local-1", Kind: api.KindMem, Use: api.UseRegion,
		Amount: 4096, State: api.LeaseActive, Generation: 1, Epoch: 100, Priority: api.PriorityStandard,
		TTLMs: ttl.Milliseconds(), Stamp: stampOf(b.clock),
	}
	for _, f := range change {
		f(&l)
	}
	b.cluster.change(func() {
		l.Modified = b.cluster.index
		b.cluster.leases[l.ID] = l
		if b.cluster.fencing > 0 { // the number comes with the grant, in one entry
			b.cluster.fencing = max(b.cluster.fencing, l.Epoch)
		}
	})
	return l
}

// pass lets time pass and everything that it causes happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// relayed is one operation that a scheduler carries to the cell.
type relayed struct {
	body   []byte
	answer api.RelayAnswer
	got    []byte
	err    error
	done   chan struct{}
}

func (f *fakeFabric) RelayBody(_ context.Context, _ api.CellID, ask string) (io.ReadCloser, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if r, ok := f.c.relays[ask]; ok {
		return io.NopCloser(bytes.NewReader(r.body)), nil
	}
	return nil, api.Refuse(api.NotFound, "no operation %s", ask)
}

func (f *fakeFabric) RelayAnswer(_ context.Context, _ api.CellID, ask string, a api.RelayAnswer) error {
	f.c.mu.Lock()
	r, ok := f.c.relays[ask]
	f.c.mu.Unlock()
	if !ok {
		return api.Refuse(api.NotFound, "no operation %s", ask)
	}
	r.answer = a
	if a.Body != nil {
		r.got, r.err = io.ReadAll(a.Body)
	}
	close(r.done)
	return nil
}
