package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
)

// noon is when everything in the fake cluster is looked at.
func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return noon().Add(-d) }

// fake is a cluster in memory, small enough to be read: it answers from its fields,
// remembers what it was asked, and fails with err where that is set.
type fake struct {
	mu    sync.Mutex
	calls []string
	write api.WriteOptions
	read  api.ReadOptions
	err   error         // of every call
	fresh api.Freshness // of every answer to a read
	once  map[string]error
	lease api.LeaseRequest
	start api.RunRequest
	plan  api.Plan
	quota api.Quota
	blobs map[api.Digest][]byte

	providers []api.ProviderSummary
	cells     []api.Cell
	leases    []api.Lease
	runs      []api.Run
	outputs   map[string][]byte // artifacts by name
	inline    string
	tenants   []api.TenantUsage
	records   []api.AuditRecord
	head      api.AuditHead
	events    []api.Event
	follow    []api.RunState // the states that reading a run steps through
	drained   api.DrainRequest
	broken    bool // the conformance suite fails
	cut       bool // and stops early
	draining  bool // CellDrain tells of leases
	waits     api.DrainWait
	after     func(*fake) // called at every blocking read
	pageSize  int
	carry     func(api.DataRequest) (*api.DataAnswer, error)
}

func (f *fake) Close() error { return nil }

func (f *fake) called(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	if err, ok := f.once[name]; ok {
		delete(f.once, name)
		return err
	}
	return f.err
}

func (f *fake) reading(name string, o api.ReadOptions) error {
	f.read = o
	if o.AfterIndex > 0 && f.after != nil {
		f.after(f)
	}
	return f.called(name)
}

func (f *fake) writing(name string, o api.WriteOptions) error {
	f.write = o
	return f.called(name)
}

const fakeIndex = 1873

func (f *fake) ListProviders(_ context.Context, o api.ReadOptions) (*api.ProviderList, error) {
	if err := f.reading("ListProviders", o); err != nil {
		return nil, err
	}
	return &api.ProviderList{Index: fakeIndex, Providers: f.providers, Freshness: f.fresh}, nil
}

func (f *fake) status(p api.ProviderID) (*api.ProviderStatus, error) {
	for _, v := range f.providers {
		if v.Provider == p {
			s := &api.ProviderStatus{Index: fakeIndex, ProviderSummary: v, Cells: []api.Cell{}, Freshness: f.fresh}
			for _, c := range f.cells {
				if c.Provider == p {
					s.Cells = append(s.Cells, c)
				}
			}
			return s, nil
		}
	}
	return nil, api.Refuse(api.NotFound, "there is no provider %s", p).WithHint("grafos provider list")
}

func (f *fake) ProviderStatus(_ context.Context, p api.ProviderID, o api.ReadOptions) (*api.ProviderStatus, error) {
	if err := f.reading("ProviderStatus", o); err != nil {
		return nil, err
	}
	return f.status(p)
}

func (f *fake) EnableProvider(_ context.Context, p api.ProviderID, on bool, o api.WriteOptions) (*api.ProviderStatus, error) {
	if err := f.writing("EnableProvider", o); err != nil {
		return nil, err
	}
	s, err := f.status(p)
	if err == nil && !o.DryRun {
		s.Enabled = on
		if !on {
			s.RuntimeReadiness = api.ProviderDisabled
		}
	}
	return s, err
}

func (f *fake) RevokeCell(_ context.Context, p api.ProviderID, c api.CellID, r api.RevokeCellRequest, o api.WriteOptions) (*api.ProviderStatus, error) {
	if err := f.writing("RevokeCell", o); err != nil {
		return nil, err
	}
	if !o.DryRun {
		for i := range f.cells {
			if f.cells[i].CellID == c {
				f.cells[i].State = api.CellDraining
				if r.Now || f.cells[i].Leases == 0 {
					f.cells[i].State = api.CellRevoked
				}
			}
		}
	}
	return f.status(p)
}

func (f *fake) ListCells(_ context.Context, p api.ProviderID, o api.ReadOptions) (*api.CellList, error) {
	if err := f.reading("ListCells", o); err != nil {
		return nil, err
	}
	list := &api.CellList{Index: fakeIndex, Cells: []api.Cell{}, Freshness: f.fresh}
	for _, c := range f.cells {
		if p == "" || c.Provider == p {
			list.Cells = append(list.Cells, c)
		}
	}
	return list, nil
}

func (f *fake) DrainCell(_ context.Context, c api.CellID, r api.DrainRequest, o api.WriteOptions) (*api.CellAnswer, error) {
	if err := f.writing("DrainCell", o); err != nil {
		return nil, err
	}
	f.drained = r
	return f.setMode(c, api.ModeDrained, api.CellDrained, o)
}

func (f *fake) UndrainCell(_ context.Context, c api.CellID, o api.WriteOptions) (*api.CellAnswer, error) {
	if err := f.writing("UndrainCell", o); err != nil {
		return nil, err
	}
	return f.setMode(c, api.ModeReturning, api.CellWarming, o)
}

func (f *fake) setMode(id api.CellID, mode api.CellMode, state api.CellState, o api.WriteOptions) (*api.CellAnswer, error) {
	for i := range f.cells {
		if f.cells[i].CellID == id {
			c := &f.cells[i]
			if !o.DryRun {
				c.Mode, c.State = mode, state
			}
			return &api.CellAnswer{Index: fakeIndex, Cell: *c}, nil
		}
	}
	return nil, api.Refuse(api.NotFound, "cell %s does not exist", id)
}

func (f *fake) CellDrain(_ context.Context, id api.CellID, o api.ReadOptions) (*api.CellDrain, error) {
	if err := f.reading("CellDrain", o); err != nil {
		return nil, err
	}
	d := &api.CellDrain{Index: fakeIndex, CellID: id, Leases: []api.DrainingLease{}, Freshness: f.fresh}
	for _, c := range f.cells {
		if c.CellID == id {
			d.State, d.Mode = c.State, c.Mode
		}
	}
	for _, l := range f.leases {
		if l.CellID == id && !l.State.Terminal() && f.draining {
			d.Leases = append(d.Leases, api.DrainingLease{
				LeaseID: l.ID, Tenant: l.Tenant, Kind: l.Kind, Amount: l.Amount, State: l.State,
				WaitsFor: f.waits, Until: noon().Add(10 * time.Second),
			})
		}
	}
	d.Done = len(d.Leases) == 0 && d.State != api.CellDraining
	return d, nil
}

func (f *fake) ConformCell(_ context.Context, p api.ProviderID, c api.CellID, o api.WriteOptions) iter.Seq2[api.ConformanceStep, error] {
	return func(yield func(api.ConformanceStep, error) bool) {
		if err := f.writing("ConformCell", o); err != nil {
			yield(api.ConformanceStep{}, err)
			return
		}
		r := &api.ConformanceReport{
			Index: fakeIndex, Provider: p, CellID: c, Passed: !f.broken, Version: "dev", Kinds: []api.LeaseKind{api.KindMem},
			Failed: []api.ConformanceCheck{}, TookMs: 3210,
		}
		if o.DryRun {
			r.Passed = false
			yield(api.ConformanceStep{Report: r}, nil)
			return
		}
		checks := []api.ConformanceCheck{
			{Name: "reached", OK: true, Skipped: "the cell names no address of its data plane"},
			{Name: "leased", Kind: api.KindMem, OK: true, Got: "lease l-1 of 4096", Want: "4096 bytes of mem", TookMs: 12},
			{Name: "revoked", Kind: api.KindMem, OK: !f.broken, Got: "still served", Want: "lease_revoked within 2s", TookMs: 2001},
		}
		if f.cut {
			checks = append(checks, api.ConformanceCheck{Name: api.ConformanceCutShort, Got: "3 of them, then at mem/leased_for_1s placement_failed: no room", Want: "all of the checks"})
		}
		for _, check := range checks {
			r.Checks++
			if !check.OK {
				r.Failed = append(r.Failed, check)
			}
			if !yield(api.ConformanceStep{Check: &check}, nil) {
				return
			}
		}
		yield(api.ConformanceStep{Report: r}, nil)
	}
}

func (f *fake) MarkProvider(_ context.Context, p api.ProviderID, r api.MarkRequest, o api.WriteOptions) (*api.ProviderStatus, error) {
	if err := f.writing("MarkProvider", o); err != nil {
		return nil, err
	}
	s, err := f.status(p)
	if err == nil && !o.DryRun {
		s.Production = r.Production
	}
	return s, err
}

func (f *fake) MarkCell(_ context.Context, id api.CellID, r api.MarkRequest, o api.WriteOptions) (*api.CellAnswer, error) {
	if err := f.writing("MarkCell", o); err != nil {
		return nil, err
	}
	for i := range f.cells {
		if f.cells[i].CellID == id {
			if !o.DryRun {
				f.cells[i].Production = r.Production
			}
			return &api.CellAnswer{Index: fakeIndex, Cell: f.cells[i]}, nil
		}
	}
	return nil, api.Refuse(api.NotFound, "cell %s does not exist", id)
}

func (f *fake) RequestLeases(_ context.Context, r api.LeaseRequest, o api.WriteOptions) (*api.GrantSet, error) {
	f.lease = r
	if err := f.writing("RequestLeases", o); err != nil {
		return nil, err
	}
	l := f.leases[0]
	return &api.GrantSet{Index: fakeIndex, CellID: l.CellID, Leases: []api.Grant{{Lease: l, Token: "v4.public.secret"}}}, nil
}

func (f *fake) RequestBatch(context.Context, api.BatchRequest, api.WriteOptions) (*api.BatchAnswer, error) {
	return nil, f.called("RequestBatch")
}

func (f *fake) ListLeases(_ context.Context, q api.LeaseFilter, o api.ReadOptions) (*api.LeaseList, error) {
	if err := f.reading("ListLeases", o); err != nil {
		return nil, err
	}
	list := &api.LeaseList{Index: fakeIndex, Leases: []api.Lease{}, Freshness: f.fresh}
	for _, l := range f.leases {
		if (q.Cell == "" || l.CellID == q.Cell) && (q.All || !l.State.Terminal() || q.State == api.LeaseFenced && l.Fenced()) && (q.Page == "" || string(l.ID) >= q.Page) {
			if f.pageSize > 0 && len(list.Leases) == f.pageSize {
				list.NextPage = string(l.ID)
				break
			}
			list.Leases = append(list.Leases, l)
		}
	}
	return list, nil
}

func (f *fake) leaseOf(id api.LeaseID) (*api.LeaseAnswer, error) {
	for _, l := range f.leases {
		if l.ID == id {
			return &api.LeaseAnswer{Index: fakeIndex, Lease: api.Grant{Lease: l}, Freshness: f.fresh}, nil
		}
	}
	return nil, api.Refuse(api.NotFound, "there is no lease %s", id)
}

func (f *fake) ShowLease(_ context.Context, id api.LeaseID, o api.ReadOptions) (*api.LeaseAnswer, error) {
	if err := f.reading("ShowLease", o); err != nil {
		return nil, err
	}
	return f.leaseOf(id)
}

func (f *fake) RenewLease(_ context.Context, id api.LeaseID, r api.RenewRequest, o api.WriteOptions) (*api.LeaseAnswer, error) {
	if err := f.writing("RenewLease", o); err != nil {
		return nil, err
	}
	a, err := f.leaseOf(id)
	if err == nil {
		a.Lease.Generation++
		a.Lease.TTLMs = r.TTLMs
		a.Lease.ExpiresAt = noon().Add(time.Duration(r.TTLMs) * time.Millisecond)
		a.Lease.Token = "v4.public.renewed"
	}
	return a, err
}

func (f *fake) LeaseToken(_ context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	if err := f.writing("LeaseToken", o); err != nil {
		return nil, err
	}
	a, err := f.leaseOf(id)
	if err == nil {
		a.Lease.Token = "v4.public.fresh"
	}
	return a, err
}

func (f *fake) end(name string, id api.LeaseID, reason string, o api.WriteOptions) (*api.LeaseAnswer, error) {
	if err := f.writing(name, o); err != nil {
		return nil, err
	}
	a, err := f.leaseOf(id)
	if err == nil && !o.DryRun {
		a.Lease.State, a.Lease.Reason = api.LeaseForcedTeardown, reason
	}
	return a, err
}

func (f *fake) FreeLease(_ context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return f.end("FreeLease", id, "released", o)
}

func (f *fake) UnfenceLease(_ context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return f.end("UnfenceLease", id, "unfenced", o)
}

func (f *fake) RevokeLease(_ context.Context, id api.LeaseID, _ api.RevokeRequest, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return f.end("RevokeLease", id, "revoked", o)
}

func (f *fake) Plan(_ context.Context, _ api.PlanRequest, o api.ReadOptions) (*api.Plan, error) {
	if err := f.reading("Plan", o); err != nil {
		return nil, err
	}
	return &f.plan, nil
}

func (f *fake) StartRun(_ context.Context, r api.RunRequest, o api.WriteOptions) (*api.RunAnswer, error) {
	f.start = r
	if err := f.writing("StartRun", o); err != nil {
		return nil, err
	}
	run := f.runs[0]
	run.Tasklet, run.Module = r.Tasklet, r.Module
	if len(f.follow) > 0 {
		run.State, run.Finalised = api.RunPlaced, false
	}
	return f.answer(run), nil
}

func (f *fake) answer(r api.Run) *api.RunAnswer {
	a := &api.RunAnswer{Index: fakeIndex, Run: r, Leases: []api.Lease{}, Freshness: f.fresh}
	if r.State.Terminal() {
		a.Output = f.inline
	}
	for _, l := range f.leases {
		if l.RunID == r.ID {
			a.Leases = append(a.Leases, l)
		}
	}
	return a
}

func (f *fake) ListRuns(_ context.Context, _ api.RunFilter, o api.ReadOptions) (*api.RunList, error) {
	if err := f.reading("ListRuns", o); err != nil {
		return nil, err
	}
	return &api.RunList{Index: fakeIndex, Runs: f.runs, Freshness: f.fresh}, nil
}

func (f *fake) ShowRun(_ context.Context, id api.RunID, o api.ReadOptions) (*api.RunAnswer, error) {
	if err := f.reading("ShowRun", o); err != nil {
		return nil, err
	}
	for _, r := range f.runs {
		if r.ID != id {
			continue
		}
		if o.AfterIndex > 0 && len(f.follow) > 0 {
			r.State, r.Finalised = f.follow[0], false
			if f.follow = f.follow[1:]; len(f.follow) == 0 {
				r = f.runs[0]
			}
		}
		return f.answer(r), nil
	}
	return nil, api.Refuse(api.NotFound, "there is no run %s", id)
}

func (f *fake) RunArtifact(_ context.Context, id api.RunID, name string) (io.ReadCloser, api.Artifact, error) {
	if err := f.called("RunArtifact " + name); err != nil {
		return nil, api.Artifact{}, err
	}
	data, ok := f.outputs[name]
	if !ok {
		return nil, api.Artifact{}, api.Refuse(api.NotFound, "run %s has no artifact %s", id, name)
	}
	return io.NopCloser(bytes.NewReader(data)), api.Artifact{Name: name}, nil
}

func (f *fake) PutBlob(_ context.Context, d api.Digest, size int64, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil || int64(len(data)) != size || api.DigestOf(sha256.Sum256(data)) != d {
		return api.Refuse(api.DigestMismatch, "blob %s", d)
	}
	f.mu.Lock()
	f.blobs[d] = data
	f.mu.Unlock()
	return f.called("PutBlob")
}

func (f *fake) GetBlob(_ context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	return nil, 0, api.Refuse(api.NotFound, "blob %s", d)
}

func (f *fake) HasBlob(_ context.Context, d api.Digest) (bool, error) {
	f.mu.Lock()
	_, ok := f.blobs[d]
	f.mu.Unlock()
	return ok, f.called("HasBlob")
}

func (f *fake) tenant(t api.TenantID) *api.TenantAnswer {
	for _, v := range f.tenants {
		if v.ID == t {
			return &api.TenantAnswer{Index: fakeIndex, Tenant: v}
		}
	}
	return &api.TenantAnswer{Index: fakeIndex, Tenant: api.TenantUsage{Tenant: api.Tenant{ID: t, Quota: api.NoQuota(), CreatedAt: noon()}}}
}

func (f *fake) CreateTenant(_ context.Context, t api.TenantID, o api.WriteOptions) (*api.TenantAnswer, error) {
	return f.tenant(t), f.writing("CreateTenant", o)
}

func (f *fake) ListTenants(_ context.Context, o api.ReadOptions) (*api.TenantList, error) {
	return &api.TenantList{Index: fakeIndex, Tenants: f.tenants, Freshness: f.fresh}, f.reading("ListTenants", o)
}

func (f *fake) SetQuota(_ context.Context, t api.TenantID, q api.Quota, o api.WriteOptions) (*api.TenantAnswer, error) {
	f.quota = q
	a := f.tenant(t)
	a.Tenant.Quota = q
	return a, f.writing("SetQuota", o)
}

func (f *fake) DeleteTenant(_ context.Context, t api.TenantID, o api.WriteOptions) (*api.TenantAnswer, error) {
	return f.tenant(t), f.writing("DeleteTenant", o)
}

func (f *fake) AuditRecords(_ context.Context, q api.AuditFilter, o api.ReadOptions) (*api.AuditPage, error) {
	page := &api.AuditPage{Index: fakeIndex, Head: f.head, Records: []api.AuditRecord{}}
	for _, r := range f.records {
		if r.Sequence < q.From || q.To > 0 && r.Sequence > q.To {
			continue
		}
		if len(page.Records) == min(q.Limit, 2) {
			page.Next = r.Sequence
			break
		}
		page.Records = append(page.Records, r)
	}
	return page, f.reading("AuditRecords", o)
}

func (f *fake) Events(_ context.Context, q api.EventFilter) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		for _, e := range f.events {
			if len(q.Types) > 0 && !strings.HasPrefix(e.Type, q.Types[0]) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := f.called("Events"); err != nil {
			yield(api.Event{}, err)
		}
	}
}

func (f *fake) NodeState(context.Context) (*api.NodeState, error) { return nil, f.called("NodeState") }

func (f *fake) RaftMembers(context.Context) (*api.RaftMembers, error) {
	since := noon().Add(-90 * time.Second)
	return &api.RaftMembers{
		Index: 1873, Leader: "s1-aaaaaa", Term: 4, Level: 1, Wanted: 3, Tolerates: 1,
		Members: []api.RaftMember{
			{Node: "s1-aaaaaa", Name: "s1", Address: "10.0.0.1:7491", URL: "https://10.0.0.1:7490", Role: "leader", Voter: true, Healthy: true, Since: since, LastIndex: 1880, Applied: 1880, Version: "1.0", Level: 1},
			{Node: "s2-bbbbbb", Name: "s2", Address: "10.0.0.2:7491", URL: "https://10.0.0.2:7490", Role: "follower", Voter: true, Healthy: true, Since: since, LastContactMs: 12, LastIndex: 1880, Applied: 1879, Version: "1.0", Level: 1},
			{Node: "s3-cccccc", Name: "s3", Address: "10.0.0.3:7491", Voter: true, Since: since, LastContactMs: -1},
			{Node: "s4-dddddd", Name: "s4", Address: "10.0.0.4:7491", URL: "https://10.0.0.4:7490", Role: "follower", Healthy: true, Since: since, LastContactMs: 30, LastIndex: 1880, Applied: 1880, Behind: 17, Version: "1.1", Level: 2},
		},
	}, f.called("RaftMembers")
}

func (f *fake) RaftTransfer(_ context.Context, to api.NodeID, o api.WriteOptions) (*api.RaftTransfer, error) {
	return &api.RaftTransfer{From: "s1-aaaaaa", To: to, Term: 5}, f.writing("RaftTransfer", o)
}

func (f *fake) RaftRemove(ctx context.Context, id api.NodeID, _ bool, o api.WriteOptions) (*api.RaftMembers, error) {
	list, err := f.RaftMembers(ctx)
	list.Members = slices.DeleteFunc(list.Members, func(m api.RaftMember) bool { return m.Node == id })
	return list, errors.Join(err, f.writing("RaftRemove", o))
}

func (f *fake) Debug(context.Context) (*api.DebugReport, error) {
	return &api.DebugReport{
		State: api.NodeState{Node: "s1-aaaaaa", Version: "1.0"}, Raft: map[string]string{"term": "4"},
		Process: api.ProcessReport{Log: "a line\n", Goroutines: "goroutine 1\n", Metrics: "m 1\n", Build: map[string]string{"version": "1.0"}},
	}, f.called("Debug")
}

func (f *fake) SaveSnapshot(context.Context, bool) (io.ReadCloser, error) {
	return nil, f.called("SaveSnapshot")
}

func (f *fake) RestoreSnapshot(context.Context, int64, io.Reader, api.WriteOptions) (*api.RestoreReport, error) {
	return nil, f.called("RestoreSnapshot")
}

func (f *fake) Schedulers(context.Context) (*api.SchedulerList, error) {
	return &api.SchedulerList{Index: fakeIndex, Leader: "s1-aaaaaa", Term: 4, Schedulers: []api.Peer{
		{Node: "s1-aaaaaa", URL: "https://10.0.0.1:7490", RaftAddr: "10.0.0.1:7491", Voter: true, Alive: true},
		{Node: "s3-cccccc", RaftAddr: "10.0.0.3:7491", Voter: true},
	}}, f.called("Schedulers")
}

const gib = 1 << 30

// newFake is a cluster with two providers, three cells, two leases and three runs.
func newFake() *fake {
	f := &fake{blobs: map[api.Digest][]byte{}, outputs: map[string][]byte{}, once: map[string]error{}}
	f.cells = fakeCells()
	capacity := api.Resources{CPU: 96_000, Mem: 244 * gib, Block: 200 * gib, Net: 2e9}
	f.providers = []api.ProviderSummary{
		{
			Provider: "aws", Enabled: true, Ownership: api.OwnedByCustomer, RuntimeReadiness: api.ProviderDegraded,
			CellsTotal: 2, CellsReady: 1, Leases: 2, Capacity: capacity, Free: api.Resources{CPU: 40_500, Mem: 120 * gib, Block: 200 * gib, Net: 2e9},
		},
		{Provider: "azure", Ownership: api.OwnedManaged, RuntimeReadiness: api.ProviderDisabled, CellsTotal: 1},
	}
	f.leases = fakeLeases()
	f.runs = fakeRuns(f)
	f.tenants = []api.TenantUsage{
		{
			Tenant: api.Tenant{ID: "acme", Quota: api.Quota{CPU: 20_000, Mem: 64 * gib, Block: api.Unlimited, Net: api.Unlimited, GPU: 0, Leases: 100}, CreatedAt: ago(50 * time.Hour)},
			Used:   api.Resources{CPU: 12_500, Mem: 64 * gib, Block: 4 * gib}, Leases: 7,
		},
		{Tenant: api.Tenant{ID: "dev", Quota: api.NoQuota(), CreatedAt: ago(90 * time.Second)}},
	}
	f.records, f.head = fakeChain()
	f.events = []api.Event{
		{Cursor: api.Cursor{Index: 1870, Sub: 0}, Type: "lease_granted", Time: ago(2 * time.Second), Identity: "tenant/acme", Provider: "aws", CellID: "aws-1", LeaseID: "l-7f3a01", Tenant: "acme", Data: json.RawMessage(`{"kind":"mem"}`)},
		{Cursor: api.Cursor{Index: 1872, Sub: 1}, Type: "cell_unready", Time: ago(time.Second), Provider: "aws", CellID: "aws-2"},
	}
	f.plan = fakePlan()
	return f
}

func fakeCells() []api.Cell {
	ready := api.Readiness{CodeEnabled: true, DurableRecord: true, IdentityBound: true, HealthyCell: true, InventoryReported: true, OutboundRegistered: true}
	sick := ready
	sick.HealthyCell = false
	capacity := api.Resources{CPU: 48_000, Mem: 122 * gib, Block: 100 * gib, Net: 1e9}
	inventory := api.Inventory{TotalCPU: 48, TotalMem: 122 * gib, TotalBlock: 100 * gib, TotalNet: 1e9, GPUs: []api.GPU{}, Zone: "use1a", Rack: "r7"}
	return []api.Cell{
		{
			CellID: "aws-1", Provider: "aws", State: api.CellReady, Ready: true, Mode: api.ModeAccepting, Readiness: ready, Reasons: []api.Reason{},
			Inventory: inventory, Capacity: capacity, Free: api.Resources{CPU: 40_500, Mem: 120 * gib, Block: 100 * gib, Net: 1e9}, Leases: 2,
			LastSeen: ago(time.Second), Conformance: "none", Epoch: 3, NotAfter: noon().Add(6 * 24 * time.Hour), Version: "0.1.0",
			DataURL: "https://10.0.0.7:7500", Session: "s2", Modified: 1800,
		},
		{
			CellID: "aws-2", Provider: "aws", State: api.CellUnhealthy, Mode: api.ModeAccepting, Readiness: sick,
			Reasons: []api.Reason{{
				Requirement: api.ReqHealthyCell, Code: "heartbeat_overdue", Message: "last heartbeat 47s ago, limit 15s",
				Since: ago(32 * time.Second), Hint: "systemctl status grafos-cell-agent",
			}},
			Inventory: inventory, Capacity: capacity, Free: capacity, LastSeen: ago(47 * time.Second), Conformance: "none", Epoch: 1, Version: "0.1.0",
		},
		{
			CellID: "azure-1", Provider: "azure", State: api.CellRegistered, Mode: api.ModeAccepting, Readiness: api.Readiness{DurableRecord: true},
			Reasons: []api.Reason{}, Inventory: api.Inventory{GPUs: []api.GPU{}}, Conformance: "none", Epoch: 1,
		},
	}
}

func fakeLeases() []api.Lease {
	return []api.Lease{
		{
			ID: "l-7f3a01", Tenant: "acme", Provider: "aws", CellID: "aws-1", Kind: api.KindMem, Use: api.UseRegion, Amount: 64 << 20,
			State: api.LeaseActive, Generation: 1, Epoch: 41, Priority: api.PriorityStandard, TTLMs: 60_000,
			GrantedAt: ago(18 * time.Second), ExpiresAt: noon().Add(42 * time.Second), BoundAt: ago(18 * time.Second),
			Coordinate: "https://10.0.0.7:7500/v1/leases/l-7f3a01", Modified: 1850,
		},
		{
			ID: "l-7f9c22", RunID: "r-5b01aa", Tenant: "acme", Provider: "aws", CellID: "aws-1", Kind: api.KindCPU, Amount: 500,
			State: api.LeaseTornDown, Generation: 1, Epoch: 40, Priority: api.PriorityStandard, TTLMs: 60_000, Reason: "released",
			GrantedAt: ago(2 * time.Minute), ExpiresAt: ago(time.Minute), EndedAt: ago(115 * time.Second), Modified: 1801,
		},
	}
}

func fakeRuns(f *fake) []api.Run {
	output := []byte("hello\x00world")
	f.addArtifact(api.ArtifactOutput, []byte(base64.StdEncoding.EncodeToString(output)))
	f.addArtifact(api.ArtifactLog, []byte("working\n"))
	f.addArtifact(api.ArtifactResponse, []byte(`{"run_id":"r-5b01aa"}`))
	base := api.Run{
		Tenant: "acme", Provider: "aws", CellID: "aws-1", Attempt: 1, Profile: api.ProfileWASI, Tasklet: "hello",
		Module: api.DigestOf(sha256.Sum256([]byte("module"))), Resources: api.Resources{CPU: 500, Mem: 32 << 20}, TTLMs: 60_000,
		Priority: api.PriorityStandard, LeaseIDs: []api.LeaseID{"l-7f9c22"}, Artifacts: []api.Artifact{},
	}
	done, failed, going := base, base, base
	done.ID, done.State, done.FuelUsed, done.DurationMs, done.Finalised = "r-5b01aa", api.RunSucceeded, 1234, 12, true
	done.CreatedAt, done.StartedAt, done.FinishedAt = ago(2*time.Minute), ago(2*time.Minute), ago(119*time.Second)
	for _, name := range []string{api.ArtifactResponse, api.ArtifactOutput, api.ArtifactLog} {
		data := f.outputs[name]
		done.Artifacts = append(done.Artifacts, api.Artifact{Name: name, Digest: api.DigestOf(sha256.Sum256(data)), Size: int64(len(data))})
	}
	failed.ID, failed.State, failed.ExitCode, failed.CreatedAt, failed.DurationMs = "r-5b77cc", api.RunFailed, 3, ago(time.Hour), 2100
	failed.Finalised = true
	failed.Failure = api.Failure{Kind: api.ExitNonzero, Message: "the tasklet exited with code 3"}
	going.ID, going.State, going.CreatedAt = "r-9d0101", api.RunRunning, ago(3*time.Second)
	return []api.Run{done, failed, going}
}

func (f *fake) addArtifact(name string, data []byte) { f.outputs[name] = data }

func fakeChain() ([]api.AuditRecord, api.AuditHead) {
	var records []api.AuditRecord
	head := api.AuditHead{Hash: api.AuditGenesis}
	for i, kind := range []string{"tenant_created", "cell_registered", "lease_granted"} {
		r := api.AuditRecord{
			Sequence: uint64(i + 1), Timestamp: ago(time.Hour).Unix(), Kind: kind, Identity: "operator/ana",
			Data: json.RawMessage(`{"n":` + string(rune('1'+i)) + `}`), PrevHash: head.Hash,
		}
		hash, err := api.AuditHash(r)
		if err != nil {
			panic(err)
		}
		r.Hash = hash
		head = api.AuditHead{Sequence: r.Sequence, Hash: hash}
		records = append(records, r)
	}
	return records, head
}

func fakePlan() api.Plan {
	return api.Plan{
		Index: fakeIndex, Provider: "aws", Decision: api.DecisionAdmit, CellID: "aws-1", Score: 93, Components: api.Components{"fit": 40, "spread": 53},
		Candidates: []api.Candidate{
			{CellID: "aws-1", Score: 93, Components: api.Components{"fit": 40, "spread": 53}, Vetoes: []api.Veto{}},
			{CellID: "aws-3", Score: 80, Components: api.Components{"fit": 40, "spread": 40}, Vetoes: []api.Veto{}},
			{CellID: "aws-2", Vetoes: []api.Veto{
				{Code: "healthy_cell", Message: "last heartbeat 47s ago, limit 15s"},
				{Code: "insufficient_mem", Message: "needs 512 MiB, free 310 MiB"},
			}},
		},
	}
}

// LeaseData carries to what is behind every lease.
func (f *fake) LeaseData(_ context.Context, r api.DataRequest) (*api.DataAnswer, error) {
	if err := f.called("LeaseData"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.carry == nil {
		return nil, api.Refuse(api.OutcomeUnknown, "no scheduler holds a session of the cell")
	}
	return f.carry(r)
}
