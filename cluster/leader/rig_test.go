package leader

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
)

// fakeNode commits at once, to a real state machine, through the bytes of the log.
type fakeNode struct {
	t *testing.T
	m *fsm.Machine

	mu      sync.Mutex
	index   uint64
	entries []fsm.Entry
	most    int // entries that were in flight at once
	flying  int

	gate     bool
	given    int                                          // how often leadership was given away
	verified int                                          // and confirmed
	barrier  error                                        // of a barrier
	verify   error                                        // of a confirmation
	before   func(e fsm.Entry)                            // before an entry is applied
	hold     func(ctx context.Context, _ fsm.Entry) error // before it is taken
}

// Propose commits an entry.
func (n *fakeNode) Propose(ctx context.Context, e fsm.Entry) ([]fsm.Result, error) {
	n.fly(1)
	defer n.fly(-1)
	n.mu.Lock()
	hold, before := n.hold, n.before
	n.mu.Unlock()
	if hold != nil {
		if err := hold(ctx, e); err != nil {
			return nil, err
		}
	}
	if before != nil {
		before(e)
	}
	return n.apply(e)
}

// change changes what the node does from now on.
func (n *fakeNode) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func (n *fakeNode) fly(d int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.flying += d
	n.most = max(n.most, n.flying)
}

func (n *fakeNode) apply(e fsm.Entry) ([]fsm.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, err := fsm.EncodeEntry(e)
	if err != nil {
		return nil, err
	}
	n.index++
	n.entries = append(n.entries, e)
	results, ok := n.m.Apply(&raft.Log{Index: n.index, Term: 1, Type: raft.LogCommand, Data: b}).([]fsm.Result)
	if !ok {
		n.t.Errorf("entry %d stopped the machine", n.index)
	}
	if n.index < 100 || n.index%16 == 0 { // it reads the whole state
		for _, err := range fsm.Check(n.m.View()) {
			n.t.Errorf("entry %d: %v", n.index, err)
		}
	}
	return results, nil
}

func (n *fakeNode) Barrier(ctx context.Context, e fsm.Entry) ([]fsm.Result, error) {
	n.mu.Lock()
	err := n.barrier
	n.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return n.Propose(ctx, e)
}

func (n *fakeNode) Verify(context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.verified++
	return n.verify
}

func (n *fakeNode) GiveAway() error {
	n.change(func() { n.given++ })
	return nil
}

func (n *fakeNode) SetGate(open bool) { n.change(func() { n.gate = open }) }

// commands lists what was committed of one kind, by entry.
func commands[C fsm.Command](n *fakeNode) []C {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []C
	for _, e := range n.entries {
		for _, c := range e.Commands {
			if c, ok := c.(C); ok {
				list = append(list, c)
			}
		}
	}
	return list
}

const (
	beat   = 5 * time.Second
	limit  = 15 * time.Second
	warmup = 10 * time.Second
	// certLife is longer than any other test takes.
	certLife = time.Hour
)

var capacity = api.Resources{CPU: 4000, Mem: 8 << 30}

// rig is a leader with cells whose heartbeats go on while time passes.
type rig struct {
	*fakeNode
	table *rumor.Table
	l     *Leader
	asked int
	ask   func() // what the other schedulers tell
	cells map[api.CellID]uint64
	mute  map[api.CellID]bool
	seq   uint64

	cancel context.CancelFunc
	ended  chan struct{}
}

// bubble runs f with a leader in fake time; what it started has ended when f returns.
func bubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start()
		t.Cleanup(r.stop)
		f(r)
	})
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		fakeNode: &fakeNode{t: t, m: fsm.New(fsm.Options{Log: hclog.NewNullLogger()})},
		table:    rumor.NewTable("s1", time.Now), cells: map[api.CellID]uint64{}, mute: map[api.CellID]bool{},
	}
	r.l = New(Config{
		Node: r.fakeNode, Machine: r.m, ClusterID: "g-test", Sightings: r.table,
		Providers: []api.Provider{{ID: "aws", Enabled: true}, {ID: "gcp"}},
		Ask: func(context.Context) {
			r.mu.Lock()
			r.asked++
			ask := r.ask
			r.mu.Unlock()
			if ask != nil {
				ask()
			}
		},
		Heartbeat: beat, Limit: limit, Warmup: warmup, Log: hclog.NewNullLogger(),
	})
	return r
}

func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan struct{})
	go func() {
		defer close(r.ended)
		r.l.Run(ctx)
	}()
	synctest.Wait()
}

func (r *rig) stop() {
	r.cancel()
	<-r.ended
}

// seen is what the leader did with its node.
func (r *rig) seen() (given int, gate bool, verified, asked int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.given, r.gate, r.verified, r.asked
}

func (r *rig) must(cmd fsm.Command) fsm.Result {
	r.t.Helper()
	res, err := r.l.Submit(r.t.Context(), cmd)
	if err != nil {
		r.t.Fatalf("%T: %v", cmd, err)
	}
	return res
}

func (r *rig) tenant(id api.TenantID, q api.Quota) {
	r.t.Helper()
	r.must(fsm.CreateTenant{Actor: "operator/root", Tenant: id, Quota: q})
}

// join registers cells; they are ready when their warm-up is over.
func (r *rig) join(ids ...api.CellID) {
	r.t.Helper()
	for _, id := range ids {
		r.cells[id] = r.must(fsm.RegisterCell{
			Actor: "cell/aws/" + string(id), Provider: "aws", Cell: id, Agent: "agent", BrokerKey: "bb", Version: "v0",
			Identity: api.Identity{SPKI: "ab", Serial: "01", NotAfter: time.Now().Add(certLife).Unix()}, DataURL: "https://10.0.0.1:7500",
		}).CellEpoch
		r.must(fsm.ReportCell{Cell: id, Epoch: r.cells[id], Inventory: &api.InventoryReport{Capacity: capacity}})
		r.table.SessionOpened(id, r.cells[id])
	}
}

// ready makes a cluster with tenant acme and ready cells.
func (r *rig) ready(ids ...api.CellID) {
	r.t.Helper()
	r.tenant("acme", api.NoQuota())
	r.join(ids...)
	r.pass(warmup + 2*beat)
	for _, id := range ids {
		if ready, reasons := r.m.View().Readiness(r.record(id)); !ready.Ready() {
			r.t.Fatalf("cell %s is not ready: %v", id, reasons)
		}
	}
}

func (r *rig) record(id api.CellID) api.CellRecord {
	rec, _ := r.m.View().Cell(id)
	return rec
}

// pass lets time go on with heartbeats.
func (r *rig) pass(d time.Duration) {
	for ; d > 0; d -= time.Second {
		r.beat()
		time.Sleep(time.Second)
		synctest.Wait()
	}
}

func (r *rig) beat() {
	for id, epoch := range r.cells {
		if !r.mute[id] {
			r.seq++
			r.table.Heartbeat(id, epoch, api.Heartbeat{Seq: r.seq, Stamp: api.Stamp{BootID: "boot", BootTime: int64(r.seq)}}, limit)
		}
	}
}

// grant asks for cpu, in thousandths.
func grant(cpu int64) fsm.GrantLeases {
	return fsm.GrantLeases{
		Actor: "tenant/acme", Tenant: "acme", Provider: "aws", Priority: api.PriorityStandard, TTLMs: 60_000,
		Items: []fsm.GrantItem{{Kind: api.KindCPU, Amount: cpu}},
	}
}

// grantRun asks for a run of 1000 millicores and 1 MiB.
func grantRun(retries int) fsm.GrantLeases {
	g := grant(1000)
	g.Items = append(g.Items, fsm.GrantItem{Kind: api.KindMem, Amount: 1 << 20, Use: api.UseLinear})
	g.Run = &api.Run{
		Tenant: "acme", Provider: "aws", Module: api.Digest("sha256:" + strings.Repeat("0", 64)), Retries: retries,
		Resources: api.Resources{CPU: 1000, Mem: 1 << 20}, TTLMs: g.TTLMs, Priority: g.Priority,
	}
	return g
}

func keyed(g fsm.GrantLeases, key, hash string) fsm.GrantLeases {
	g.Idem = fsm.Idem{Scope: "tenant/acme", Key: key, Hash: hash}
	return g
}

func (r *rig) admit(g fsm.GrantLeases) fsm.Result {
	r.t.Helper()
	res, err := r.l.Admit(r.t.Context(), g)
	if err != nil {
		r.t.Fatalf("admit: %v", err)
	}
	return res
}

func (r *rig) lease(id api.LeaseID) api.Lease {
	r.t.Helper()
	l, ok := r.m.View().Lease(id)
	if !ok {
		r.t.Fatalf("lease %s does not exist", id)
	}
	return l
}

func (r *rig) wantLease(id api.LeaseID, state api.LeaseState, reason string) {
	r.t.Helper()
	if l := r.lease(id); l.State != state || l.Reason != reason {
		r.t.Errorf("lease %s is %s (%s), want %s (%s)", id, l.State, l.Reason, state, reason)
	}
}

func (r *rig) bind(id api.LeaseID) {
	r.t.Helper()
	l := r.lease(id)
	r.must(fsm.ReportCell{Cell: l.CellID, Epoch: r.cells[l.CellID], Bound: []api.BoundReport{{LeaseID: id, Generation: l.Generation, Epoch: l.Epoch}}})
}

func (r *rig) tearDown(id api.LeaseID) {
	r.t.Helper()
	l := r.lease(id)
	r.must(fsm.ReportCell{Cell: l.CellID, Epoch: r.cells[l.CellID], Ended: []api.EndedReport{{LeaseID: id, Epoch: l.Epoch, State: api.LeaseTornDown}}})
}

type outcome struct {
	res fsm.Result
	err error
}

// all makes n requests at the same time.
func (r *rig) all(n int, ask func(i int) fsm.GrantLeases) []outcome {
	out := make([]outcome, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { out[i].res, out[i].err = r.l.Admit(r.t.Context(), ask(i)) })
	}
	wg.Wait()
	return out
}

// tally counts outcomes by kind; granted is "".
func tally(out []outcome) string {
	counts := map[api.Kind]int{}
	for _, o := range out {
		counts[api.KindOf(o.err)]++
	}
	return fmt.Sprint(counts)
}
