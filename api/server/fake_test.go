package server

import (
	"bytes"
	"context"
	"io"
	"iter"
	"strings"
	"sync"
	"testing/iotest"

	"github.com/grafos/grafos/api"
)

// seen is what a fake was asked.
type seen struct {
	Call   string
	Args   []any
	Caller api.Caller
}

// fake is every service at once: it remembers what it was asked and answers what it was
// told to, or something with every field filled in.
type fake struct {
	leaderURL string // in the node's state
	mu        sync.Mutex
	calls     []seen
	// err, where it is set, is every answer.
	err error
	// hook, where it is set, is called first.
	hook func(ctx context.Context, call string) error
	// hold makes a session say one thing and then nothing.
	hold   bool
	events []api.Event
	blob   string
	short  bool         // the blob's last byte is missing
	leases api.GrantSet // of RequestLeases, for benchmarks: nothing is remembered then
	batch  api.BatchAnswer
	lease  *api.LeaseAnswer // of ShowLease, likewise
	// together, where it is set, holds requests for leases until so many wait.
	together *barrier
}

// barrier lets those who wait go when there are so many of them.
type barrier struct {
	of int

	mu   sync.Mutex
	here int
	open chan struct{}
}

func (b *barrier) wait(ctx context.Context) {
	b.mu.Lock()
	if b.open == nil {
		b.open = make(chan struct{})
	}
	open := b.open
	if b.here++; b.here == b.of {
		close(open)
		b.here, b.open = 0, nil
	}
	b.mu.Unlock()
	select {
	case <-open:
	case <-ctx.Done():
	}
}

func (f *fake) note(ctx context.Context, call string, args ...any) error {
	f.mu.Lock()
	f.calls = append(f.calls, seen{call, args, api.CallerFrom(ctx)})
	hook, err := f.hook, f.err
	f.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, call); err != nil {
			return err
		}
	}
	return err
}

func (f *fake) last() seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) == 0 {
		return seen{}
	}
	return f.calls[len(f.calls)-1]
}

func (f *fake) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c.Call == call {
			n++
		}
	}
	return n
}

func (f *fake) info() api.NodeState {
	return api.NodeState{Node: "s1", Leader: "s2", AppliedIndex: 42, CommitIndex: 42, LastContactMs: 7, Ready: true}
}

// give notes the call and answers with v.
func give[T any](ctx context.Context, f *fake, v T, call string, args ...any) (*T, error) {
	if err := f.note(ctx, call, args...); err != nil {
		return nil, err
	}
	return &v, nil
}

func (f *fake) ListProviders(ctx context.Context, o api.ReadOptions) (*api.ProviderList, error) {
	return give(ctx, f, filled[api.ProviderList](), "ListProviders", o)
}

func (f *fake) ProviderStatus(ctx context.Context, p api.ProviderID, o api.ReadOptions) (*api.ProviderStatus, error) {
	return give(ctx, f, filled[api.ProviderStatus](), "ProviderStatus", p, o)
}

func (f *fake) EnableProvider(ctx context.Context, p api.ProviderID, on bool, o api.WriteOptions) (*api.ProviderStatus, error) {
	return give(ctx, f, filled[api.ProviderStatus](), "EnableProvider", p, on, o)
}

func (f *fake) RevokeCell(ctx context.Context, p api.ProviderID, c api.CellID, r api.RevokeCellRequest, o api.WriteOptions) (*api.ProviderStatus, error) {
	return give(ctx, f, filled[api.ProviderStatus](), "RevokeCell", p, c, r, o)
}

func (f *fake) ListCells(ctx context.Context, p api.ProviderID, o api.ReadOptions) (*api.CellList, error) {
	return give(ctx, f, filled[api.CellList](), "ListCells", p, o)
}

func (f *fake) DrainCell(ctx context.Context, c api.CellID, r api.DrainRequest, o api.WriteOptions) (*api.CellAnswer, error) {
	return give(ctx, f, filled[api.CellAnswer](), "DrainCell", c, r, o)
}

func (f *fake) UndrainCell(ctx context.Context, c api.CellID, o api.WriteOptions) (*api.CellAnswer, error) {
	return give(ctx, f, filled[api.CellAnswer](), "UndrainCell", c, o)
}

func (f *fake) CellDrain(ctx context.Context, c api.CellID, o api.ReadOptions) (*api.CellDrain, error) {
	return give(ctx, f, filled[api.CellDrain](), "CellDrain", c, o)
}

func (f *fake) ConformCell(ctx context.Context, p api.ProviderID, c api.CellID, o api.WriteOptions) iter.Seq2[api.ConformanceStep, error] {
	return func(yield func(api.ConformanceStep, error) bool) {
		if err := f.note(ctx, "ConformCell", p, c, o); err != nil {
			yield(api.ConformanceStep{}, err)
			return
		}
		check, report := filled[api.ConformanceCheck](), filled[api.ConformanceReport]()
		for range 2 {
			if !yield(api.ConformanceStep{Check: &check}, nil) {
				return
			}
		}
		if f.hold {
			<-ctx.Done()
			_ = f.note(ctx, "ConformCell ended")
			return
		}
		yield(api.ConformanceStep{Report: &report}, nil)
	}
}

func (f *fake) MarkProvider(ctx context.Context, p api.ProviderID, r api.MarkRequest, o api.WriteOptions) (*api.ProviderStatus, error) {
	return give(ctx, f, filled[api.ProviderStatus](), "MarkProvider", p, r, o)
}

func (f *fake) MarkCell(ctx context.Context, c api.CellID, r api.MarkRequest, o api.WriteOptions) (*api.CellAnswer, error) {
	return give(ctx, f, filled[api.CellAnswer](), "MarkCell", c, r, o)
}

func (f *fake) Bootstrap(ctx context.Context, r api.BootstrapRequest) (*api.BootstrapAnswer, error) {
	return give(ctx, f, filled[api.BootstrapAnswer](), "Bootstrap", r)
}

func (f *fake) Register(ctx context.Context, r api.RegisterRequest) (*api.RegisterAnswer, error) {
	return give(ctx, f, filled[api.RegisterAnswer](), "Register", r)
}

func (f *fake) RenewIdentity(ctx context.Context, p api.ProviderID, c api.CellID, r api.RenewalRequest) (*api.BootstrapAnswer, error) {
	return give(ctx, f, filled[api.BootstrapAnswer](), "RenewIdentity", p, c, r)
}

func (f *fake) Watch(ctx context.Context, p api.ProviderID, c api.CellID, r api.WatchRequest) iter.Seq2[api.Desired, error] {
	return func(yield func(api.Desired, error) bool) {
		if err := f.note(ctx, "Watch", p, c, r); err != nil {
			yield(api.Desired{}, err)
			return
		}
		for range 3 {
			if !yield(filled[api.Desired](), nil) {
				return
			}
			if f.hold {
				<-ctx.Done()
				return
			}
		}
		yield(api.Desired{}, api.Refuse(api.IdentityRevoked, "the cell was revoked"))
	}
}

func (f *fake) Report(ctx context.Context, p api.ProviderID, c api.CellID, r api.Report) (*api.ReportAnswer, error) {
	return give(ctx, f, filled[api.ReportAnswer](), "Report", p, c, r)
}

func (f *fake) RequestLeases(ctx context.Context, r api.LeaseRequest, o api.WriteOptions) (*api.GrantSet, error) {
	if f.leases.CellID != "" {
		if f.together != nil {
			f.together.wait(ctx)
		}
		return &f.leases, nil
	}
	return give(ctx, f, filled[api.GrantSet](), "RequestLeases", r, o)
}

func (f *fake) RequestBatch(ctx context.Context, r api.BatchRequest, o api.WriteOptions) (*api.BatchAnswer, error) {
	if f.batch.Index != 0 {
		return &f.batch, nil
	}
	return give(ctx, f, filled[api.BatchAnswer](), "RequestBatch", r, o)
}

func (f *fake) ListLeases(ctx context.Context, flt api.LeaseFilter, o api.ReadOptions) (*api.LeaseList, error) {
	list := filled[api.LeaseList]()
	list.NextPage = map[string]string{"": "two", "two": "three", "three": ""}[flt.Page]
	return give(ctx, f, list, "ListLeases", flt, o)
}

func (f *fake) ShowLease(ctx context.Context, id api.LeaseID, o api.ReadOptions) (*api.LeaseAnswer, error) {
	if f.lease != nil {
		return f.lease, nil
	}
	return give(ctx, f, filled[api.LeaseAnswer](), "ShowLease", id, o)
}

func (f *fake) RenewLease(ctx context.Context, id api.LeaseID, r api.RenewRequest, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return give(ctx, f, filled[api.LeaseAnswer](), "RenewLease", id, r, o)
}

func (f *fake) LeaseToken(ctx context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return give(ctx, f, filled[api.LeaseAnswer](), "LeaseToken", id, o)
}

func (f *fake) FreeLease(ctx context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return give(ctx, f, filled[api.LeaseAnswer](), "FreeLease", id, o)
}

func (f *fake) UnfenceLease(ctx context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return give(ctx, f, filled[api.LeaseAnswer](), "UnfenceLease", id, o)
}

func (f *fake) RevokeLease(ctx context.Context, id api.LeaseID, r api.RevokeRequest, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return give(ctx, f, filled[api.LeaseAnswer](), "RevokeLease", id, r, o)
}

func (f *fake) Plan(ctx context.Context, r api.PlanRequest, o api.ReadOptions) (*api.Plan, error) {
	return give(ctx, f, filled[api.Plan](), "Plan", r, o)
}

func (f *fake) StartRun(ctx context.Context, r api.RunRequest, o api.WriteOptions) (*api.RunAnswer, error) {
	return give(ctx, f, filled[api.RunAnswer](), "StartRun", r, o)
}

func (f *fake) ListRuns(ctx context.Context, flt api.RunFilter, o api.ReadOptions) (*api.RunList, error) {
	list := filled[api.RunList]()
	list.NextPage = ""
	return give(ctx, f, list, "ListRuns", flt, o)
}

func (f *fake) ShowRun(ctx context.Context, id api.RunID, o api.ReadOptions) (*api.RunAnswer, error) {
	return give(ctx, f, filled[api.RunAnswer](), "ShowRun", id, o)
}

func (f *fake) RunArtifact(ctx context.Context, id api.RunID, name string) (io.ReadCloser, api.Artifact, error) {
	if err := f.note(ctx, "RunArtifact", id, name); err != nil {
		return nil, api.Artifact{}, err
	}
	return io.NopCloser(strings.NewReader(f.blob)), api.Artifact{Name: name, Digest: digest(f.blob), Size: int64(len(f.blob))}, nil
}

func (f *fake) PutBlob(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(r); err != nil {
		return err
	}
	return f.note(ctx, "PutBlob", d, size, buf.String())
}

func (f *fake) GetBlob(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	if err := f.note(ctx, "GetBlob", d); err != nil {
		return nil, 0, err
	}
	have := f.blob
	if f.short {
		have = have[:len(have)-1]
	}
	return io.NopCloser(strings.NewReader(have)), int64(len(f.blob)), nil
}

func (f *fake) HasBlob(ctx context.Context, d api.Digest) (bool, error) {
	err := f.note(ctx, "HasBlob", d)
	return d == digest(f.blob), err
}

func (f *fake) CreateTenant(ctx context.Context, t api.TenantID, o api.WriteOptions) (*api.TenantAnswer, error) {
	return give(ctx, f, filled[api.TenantAnswer](), "CreateTenant", t, o)
}

func (f *fake) ListTenants(ctx context.Context, o api.ReadOptions) (*api.TenantList, error) {
	return give(ctx, f, filled[api.TenantList](), "ListTenants", o)
}

func (f *fake) SetQuota(ctx context.Context, t api.TenantID, q api.Quota, o api.WriteOptions) (*api.TenantAnswer, error) {
	return give(ctx, f, filled[api.TenantAnswer](), "SetQuota", t, q, o)
}

func (f *fake) DeleteTenant(ctx context.Context, t api.TenantID, o api.WriteOptions) (*api.TenantAnswer, error) {
	return give(ctx, f, filled[api.TenantAnswer](), "DeleteTenant", t, o)
}

func (f *fake) AuditRecords(ctx context.Context, flt api.AuditFilter, o api.ReadOptions) (*api.AuditPage, error) {
	page := filled[api.AuditPage]()
	page.Next = 0
	if flt.From == 5 {
		page.Next = 6
	}
	return give(ctx, f, page, "AuditRecords", flt, o)
}

func (f *fake) Events(ctx context.Context, flt api.EventFilter) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		if err := f.note(ctx, "Events", flt); err != nil {
			yield(api.Event{}, err)
			return
		}
		after, err := api.ParseCursor(flt.From)
		for _, e := range f.events {
			if err == nil && !after.Before(e.Cursor) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
		<-ctx.Done()
	}
}

func (f *fake) NodeState(ctx context.Context) (*api.NodeState, error) {
	st := filled[api.NodeState]()
	if f.leaderURL != "" {
		st.LeaderURL, st.Removed = f.leaderURL, nil
	}
	return give(ctx, f, st, "NodeState")
}

func (f *fake) Schedulers(ctx context.Context) (*api.SchedulerList, error) {
	return give(ctx, f, filled[api.SchedulerList](), "Schedulers")
}

func (f *fake) ReadIndex(ctx context.Context) (*api.ReadIndex, error) {
	return give(ctx, f, filled[api.ReadIndex](), "ReadIndex")
}

func (f *fake) Member(ctx context.Context) (*api.MemberState, error) {
	return give(ctx, f, filled[api.MemberState](), "Member")
}

func (f *fake) Dismiss(ctx context.Context, d api.Dismissal) error { return f.note(ctx, "Dismiss", d) }

func (f *fake) RaftMembers(ctx context.Context) (*api.RaftMembers, error) {
	return give(ctx, f, filled[api.RaftMembers](), "RaftMembers")
}

func (f *fake) RaftTransfer(ctx context.Context, to api.NodeID, o api.WriteOptions) (*api.RaftTransfer, error) {
	return give(ctx, f, filled[api.RaftTransfer](), "RaftTransfer", to, o)
}

func (f *fake) RaftRemove(ctx context.Context, id api.NodeID, force bool, o api.WriteOptions) (*api.RaftMembers, error) {
	return give(ctx, f, filled[api.RaftMembers](), "RaftRemove", id, force, o)
}

func (f *fake) Debug(ctx context.Context) (*api.DebugReport, error) {
	return give(ctx, f, filled[api.DebugReport](), "Debug")
}

func (f *fake) SaveSnapshot(ctx context.Context, stale bool) (io.ReadCloser, error) {
	if err := f.note(ctx, "SaveSnapshot", stale); err != nil {
		return nil, err
	}
	if f.short {
		return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("arch", 16<<10)), iotest.ErrReader(io.ErrUnexpectedEOF))), nil
	}
	return io.NopCloser(strings.NewReader("archive")), nil
}

func (f *fake) RestoreSnapshot(ctx context.Context, size int64, r io.Reader, o api.WriteOptions) (*api.RestoreReport, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return give(ctx, f, filled[api.RestoreReport](), "RestoreSnapshot", size, string(b), o)
}

func (f *fake) Sightings(ctx context.Context) (*api.SightingTable, error) {
	return give(ctx, f, filled[api.SightingTable](), "Sightings")
}

func (f *fake) TakeReport(ctx context.Context, p api.ProviderID, c api.CellID, r api.Report) (*api.ReportAnswer, error) {
	return give(ctx, f, filled[api.ReportAnswer](), "TakeReport", p, c, r)
}

func (f *fake) AskCell(ctx context.Context, c api.CellID, a api.Ask) error {
	return f.note(ctx, "AskCell", c, a)
}

func (f *fake) PutReplica(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(r); err != nil {
		return err
	}
	return f.note(ctx, "PutReplica", d, size, buf.String())
}

func (f *fake) GetReplica(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	if err := f.note(ctx, "GetReplica", d); err != nil {
		return nil, 0, err
	}
	return io.NopCloser(strings.NewReader(f.blob)), int64(len(f.blob)), nil
}

func (f *fake) ReferBlob(ctx context.Context, t api.TenantID, d api.Digest, size int64) error {
	return f.note(ctx, "ReferBlob", t, d, size)
}

func (f *fake) AuditReplica(ctx context.Context, flt api.AuditFilter) (*api.AuditPage, error) {
	return give(ctx, f, filled[api.AuditPage](), "AuditReplica", flt)
}

func (f *fake) LeaseData(ctx context.Context, r api.DataRequest) (*api.DataAnswer, error) {
	var body string
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(text)
	}
	r.Body = nil
	if err := f.note(ctx, "LeaseData", r, body); err != nil {
		return nil, err
	}
	if r.Write {
		return &api.DataAnswer{Nonce: "n"}, nil
	}
	return &api.DataAnswer{Nonce: "n", Length: int64(len(f.blob)), Body: io.NopCloser(strings.NewReader(f.blob))}, nil
}

func (f *fake) RelayBody(ctx context.Context, c api.CellID, ask string) (io.ReadCloser, error) {
	if err := f.note(ctx, "RelayBody", c, ask); err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader(f.blob)), nil
}

func (f *fake) RelayAnswer(ctx context.Context, c api.CellID, ask string, a api.RelayAnswer) error {
	var body string
	if a.Body != nil {
		text, err := io.ReadAll(a.Body)
		if err != nil {
			return err
		}
		body = string(text)
	}
	a.Body = nil
	return f.note(ctx, "RelayAnswer", c, ask, a, body)
}
