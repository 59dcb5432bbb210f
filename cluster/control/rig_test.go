package control

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/placement"
)

// rig is one scheduler that leads, with a real state machine behind it. It is its own
// Cluster, Decider and Blobs.
type rig struct {
	t *testing.T
	c *Control
	m *fsm.Machine

	mu        sync.Mutex
	index     uint64
	log       bytes.Buffer // every entry, as it is on the disk
	entries   [][]byte     // the same, one by one
	read      func() error // called by every verified read: the node catches up, or cannot
	reads     int          // verified reads
	follows   bool
	touch     time.Duration
	ahead     api.Tick      // cluster time that the next entry adds
	peer      api.Peers     // of every other scheduler
	lose      int           // so many commands are answered no_leader
	removed   []api.NodeID  // guarded by mu
	leader    api.NodeID    // "" is s1
	dismissal api.Dismissal // guarded by mu
	grants    int
	blobs     map[api.Digest][]byte
}

const heartbeatLimit = 15 * time.Second

func newRig(t *testing.T) *rig {
	t.Helper()
	r := bareRig(t, 64)
	r.must(fsm.InitCluster{ClusterID: "g-test", Providers: []api.Provider{{ID: "aws", Enabled: true}, {ID: "gcp"}}})
	for _, tenant := range []api.TenantID{"acme", "other"} {
		r.must(fsm.CreateTenant{Actor: "operator/root", Tenant: tenant, Quota: api.NoQuota()})
	}
	return r
}

// bareRig is a rig whose state is empty, and which holds so many events.
func bareRig(t *testing.T, events int) *rig {
	t.Helper()
	r := &rig{t: t, m: fsm.New(fsm.Options{Log: hclog.NewNullLogger(), EventRing: events}), blobs: map[api.Digest][]byte{}}
	r.c = New(Config{
		Node: "s1", ClusterID: "g-test", Machine: r.m, Cluster: r, Decider: r, Blobs: blobStore{r}, Audit: noAudit{},
		Sightings: rumor.NewTable("s1", time.Now), Heartbeat: 5 * time.Second, Limit: heartbeatLimit, Warmup: 30 * time.Second,
		Log: hclog.NewNullLogger(),
	})
	return r
}

func (r *rig) material() *pki.Material {
	r.t.Helper()
	m, err := pki.InitMaterial(filepath.Join(r.t.TempDir(), "material"), pki.InitOptions{ClusterID: "g-test"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.c.cfg.Material = m
	return m
}

// Submit commits one command.
func (r *rig) Submit(_ context.Context, cmd fsm.Command) (fsm.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.follows || r.lose > 0 {
		r.lose--
		return fsm.Result{}, api.Refuse(api.NoLeader, "not here")
	}
	b, err := fsm.EncodeEntry(fsm.Entry{Tick: r.m.View().Now() + r.ahead, Wall: time.Now().UnixMilli(), Commands: []fsm.Command{cmd}})
	if err != nil {
		return fsm.Result{}, err
	}
	r.log.Write(b)
	r.entries = append(r.entries, b)
	res := r.apply(b)
	if res == nil {
		return fsm.Result{}, api.Refuse(api.Internal, "stopped")
	}
	if res[0].Problem != nil {
		return res[0], res[0].Problem
	}
	return res[0], nil
}

// pass lets cluster time go on.
func (r *rig) pass(d time.Duration) {
	r.ahead = fsm.MaxStep
	for range d / time.Duration(fsm.MaxStep) {
		r.must(fsm.Tick{})
	}
	r.ahead = 0
}

// apply applies an entry as raft does.
func (r *rig) apply(entry []byte) []fsm.Result {
	r.index++
	res, ok := r.m.Apply(&raft.Log{Index: r.index, Term: 1, Type: raft.LogCommand, Data: entry}).([]fsm.Result)
	if !ok {
		r.t.Errorf("entry %d stopped the machine", r.index)
	}
	return res
}

// follow applies the next n entries of a leader.
func (r *rig) follow(leader *rig, n int) {
	for range min(n, len(leader.entries)-int(r.index)) {
		r.apply(leader.entries[r.index])
	}
}

// restore gives the machine the state of another one by a snapshot.
func (r *rig) restore(from *rig) {
	r.t.Helper()
	var snap bytes.Buffer
	if err := from.m.View().WriteSnapshot(&snap); err != nil {
		r.t.Fatal(err)
	}
	if err := r.m.Restore(io.NopCloser(&snap)); err != nil {
		r.t.Fatal(err)
	}
	r.index = from.index
}

// Admit puts everything on the first cell of the provider.
func (r *rig) Admit(ctx context.Context, g fsm.GrantLeases) (fsm.Result, error) {
	cells := r.m.View().Cells(g.Provider)
	if len(cells) == 0 {
		return fsm.Result{}, api.Refuse(api.RuntimeNotReady, "no cell")
	}
	r.mu.Lock()
	r.grants++
	n := r.grants
	r.mu.Unlock()
	g.Cell, g.CellEpoch = cells[0].ID, cells[0].Epoch
	g.Items = append([]fsm.GrantItem{}, g.Items...)
	for i := range g.Items {
		g.Items[i].ID = api.LeaseID(fmt.Sprintf("l-%d-%s", n, g.Items[i].Kind))
	}
	if g.Run != nil {
		run := *g.Run
		run.ID = api.RunID(fmt.Sprint("r-", n))
		g.Run = &run
	}
	return r.Submit(ctx, g)
}

func (r *rig) AdmitAll(ctx context.Context, gs []fsm.GrantLeases) ([]fsm.Result, []error) {
	results, errs := make([]fsm.Result, len(gs)), make([]error, len(gs))
	for i, g := range gs {
		results[i], errs[i] = r.Admit(ctx, g)
	}
	return results, errs
}

func (r *rig) Plan(q placement.Request) (api.Plan, error) {
	return api.Plan{Index: r.m.View().Index(), Provider: q.Provider, Decision: api.DecisionAdmit, CellID: "c1"}, nil
}

func (r *rig) Read(context.Context) (*fsm.View, error) {
	r.mu.Lock()
	read := r.read
	r.reads++
	r.mu.Unlock()
	if read != nil {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return r.m.View(), nil
}

func (r *rig) ReadIndex(context.Context) (*api.ReadIndex, error) {
	return &api.ReadIndex{Index: r.m.View().Index()}, nil
}

func (r *rig) Member(context.Context) (*api.MemberState, error) {
	return &api.MemberState{Node: "s1"}, nil
}

func (r *rig) Stats() map[string]string { return map[string]string{"term": "7"} }

func (r *rig) Dismiss(context.Context, api.Dismissal) error { return nil }

func (r *rig) Members(context.Context) (*api.RaftMembers, error) {
	list := &api.RaftMembers{Leader: cmp.Or(r.leader, "s1"), Term: 7}
	for i, id := range []api.NodeID{"s1", "s2", "s3", "s4", "s5"} { // s4 has no vote, s5 does not answer
		if slices.Contains(r.removed, id) {
			continue
		}
		list.Members = append(list.Members, api.RaftMember{Node: id, Voter: i != 3, Healthy: i != 4, LastIndex: uint64(10 + i)})
	}
	return list, nil
}

func (r *rig) Transfer(_ context.Context, to api.NodeID) (*api.RaftTransfer, error) {
	return &api.RaftTransfer{From: "s1", To: to, Term: 8}, nil
}

func (r *rig) Transferable(id api.NodeID) error {
	if id == "s9" {
		return api.Refuse(api.NotFound, "there is no voter s9")
	}
	return nil
}

func (r *rig) Removable(id api.NodeID, force bool) error {
	if id == "s9" && !force {
		return api.Refuse(api.Conflict, "s9 is needed")
	}
	return nil
}

func (r *rig) Remove(_ context.Context, id api.NodeID, _ bool, d api.Dismissal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dismissal = d
	r.removed = append(r.removed, id)
	return nil
}

func (r *rig) Leads() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.follows
}

func (r *rig) Leader() api.NodeID {
	if r.Leads() {
		return "s1"
	}
	return "s2"
}

func (r *rig) Touch() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.touch
}

func (r *rig) LeaderMoved() <-chan struct{} { return nil }

// Age is what Touch says; a test sets it to api.NeverHeard.
func (r *rig) Age() time.Duration { return r.Touch() }

func (r *rig) State() api.NodeState { return api.NodeState{Node: "s1", Peers: r.Peers()} }

func (r *rig) Peers() []api.Peer {
	return []api.Peer{{Node: "s1", URL: "https://s1", Alive: true}, {Node: "s9", URL: "https://s9"}}
}

func (r *rig) Others() []api.NodeID { return []api.NodeID{"s2"} }

func (r *rig) Peer(api.NodeID) (api.Peers, error) {
	if r.peer == nil {
		return nil, api.Refuse(api.NotFound, "no such scheduler")
	}
	return r.peer, nil
}

func (r *rig) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// blobStore keeps blobs in memory.
type blobStore struct{ r *rig }

func (b blobStore) Put(_ context.Context, d api.Digest, _ int64, body io.Reader) error {
	var there bool
	b.r.set(func() { _, there = b.r.blobs[d] })
	if there {
		return nil
	}
	data, err := io.ReadAll(body)
	b.r.set(func() { b.r.blobs[d] = data })
	return err
}

func (b blobStore) PutLocal(ctx context.Context, d api.Digest, size int64, body io.Reader) error {
	return b.Put(ctx, d, size, body)
}

func (b blobStore) Get(_ context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	return b.GetLocal(d)
}

func (b blobStore) GetLocal(d api.Digest) (io.ReadCloser, int64, error) {
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	data, ok := b.r.blobs[d]
	if !ok {
		return nil, 0, noBlob(d)
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

func (b blobStore) Has(_ context.Context, d api.Digest) (bool, error) {
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	_, ok := b.r.blobs[d]
	return ok, nil
}

type noAudit struct{}

func (noAudit) Read(f api.AuditFilter) ([]api.AuditRecord, uint64, error) {
	return nil, uint64(f.Limit), nil //nolint:gosec // a bound that the test looks at
}

func (r *rig) must(cmd fsm.Command) fsm.Result {
	r.t.Helper()
	res, err := r.Submit(r.t.Context(), cmd)
	if err != nil {
		r.t.Fatalf("%T: %v", cmd, err)
	}
	return res
}

// cell makes a ready cell.
func (r *rig) cell(id api.CellID) uint64 { return r.cellOf("aws", id) }

// cellOf makes a ready cell of a provider.
func (r *rig) cellOf(p api.ProviderID, id api.CellID) uint64 {
	r.t.Helper()
	epoch := r.registerAt(p, id, "agent-1")
	yes := &api.Condition{Met: true}
	r.must(fsm.ReportCell{Cell: id, Epoch: epoch, Inventory: &api.InventoryReport{Capacity: api.Resources{CPU: 4000, Mem: 8 << 30}}})
	r.must(fsm.ChangeHealth{Changes: []fsm.HealthChange{{Cell: id, Epoch: epoch, Healthy: yes, Outbound: yes}}})
	return epoch
}

func (r *rig) register(id api.CellID, agent string) { r.registerAt("aws", id, agent) }

func (r *rig) registerAt(p api.ProviderID, id api.CellID, agent string) uint64 {
	r.t.Helper()
	return r.must(fsm.RegisterCell{
		Actor: "cell/" + string(p) + "/" + string(id), Provider: p, Cell: id, Agent: agent, BrokerKey: "bb", Version: "v0",
		Identity: api.Identity{SPKI: "ab", Serial: "01", NotAfter: 4_000_000_000}, DataURL: "https://10.0.0.1:7500",
	}).CellEpoch
}

func (r *rig) lease(id api.LeaseID) api.Lease {
	r.t.Helper()
	l, ok := r.m.View().Lease(id)
	if !ok {
		r.t.Fatalf("lease %s does not exist", id)
	}
	return l
}

func as(ctx context.Context, role api.Role, name string) context.Context {
	return api.WithCaller(ctx, api.Caller{Role: role, Name: name})
}

func (r *rig) acme() context.Context { return as(r.t.Context(), api.RoleTenant, "acme") }

func (r *rig) other() context.Context { return as(r.t.Context(), api.RoleTenant, "other") }

func (r *rig) operator() context.Context { return as(r.t.Context(), api.RoleOperator, "root") }

func cpu(n int64) api.LeaseRequest {
	return api.LeaseRequest{Provider: "aws", Resources: api.Resources{CPU: n}, TTLMs: 60_000}
}

// bind reports a binding with its token, as the cell's session's scheduler hands it on.
func (r *rig) bind(l api.Lease, token string) {
	r.t.Helper()
	cell, _ := r.m.View().Cell(l.CellID)
	_, err := r.c.TakeReport(r.t.Context(), "aws", l.CellID, api.Report{Epoch: cell.Epoch, Bound: []api.BoundReport{
		{LeaseID: l.ID, Generation: l.Generation, Epoch: l.Epoch, Coordinate: "https://10.0.0.1:7500", Token: token},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) wantKind(what string, err error, want api.Kind) {
	r.t.Helper()
	if got := api.KindOf(err); got != want {
		r.t.Errorf("%s: got %q (%v), want %q", what, got, err, want)
	}
}
