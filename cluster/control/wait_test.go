package control

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// atMost fails unless a read that waited in vain did so for wait and at most its jitter more.
func atMost(t *testing.T, began time.Time, wait time.Duration) {
	t.Helper()
	if took := time.Since(began); took < wait || took > wait+wait/api.WaitJitter {
		t.Errorf("waited for %s, want %s to %s", took, wait, wait+wait/api.WaitJitter)
	}
}

func TestReadBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		at := r.m.View().Index()
		began := time.Now()
		list, err := r.c.ListLeases(r.acme(), api.LeaseFilter{}, api.ReadOptions{AfterIndex: at, Wait: 10 * time.Second})
		if err != nil || len(list.Leases) != 0 {
			t.Errorf("got %+v, %v", list, err)
		}
		atMost(t, began, 10*time.Second)
		began = time.Now()
		if _, err := r.c.ListLeases(r.acme(), api.LeaseFilter{}, api.ReadOptions{AfterIndex: at, Wait: time.Hour}); err != nil {
			t.Error(err)
		}
		atMost(t, began, api.MaxWait)
		r.grant()
		began = time.Now()
		if _, err := r.c.ListLeases(r.acme(), api.LeaseFilter{}, api.ReadOptions{AfterIndex: at, Wait: time.Hour}); err != nil || time.Since(began) != 0 {
			t.Errorf("what changed already: after %s, %v", time.Since(began), err)
		}
		ctx, cancel := context.WithCancel(r.acme())
		cancel()
		if _, err := r.c.ListLeases(ctx, api.LeaseFilter{}, api.ReadOptions{AfterIndex: r.index, Wait: time.Hour}); err != nil && time.Since(began) != 0 {
			t.Errorf("a reader that is gone: %v after %s", err, time.Since(began))
		}
		_, err = r.c.ListLeases(r.acme(), api.LeaseFilter{}, api.ReadOptions{Consistency: "eventual"})
		r.wantKind("consistency", err, api.InvalidArgument)
	})
}

// blockedRead is one read of the table below: the changes that wake it, and no others do.
type blockedRead struct {
	name  string
	read  func(ctx context.Context, c *Control, o api.ReadOptions) (uint64, error)
	ctx   func(r *rig) context.Context
	wakes string // of the changes below, by their letter
}

// changes are what may happen while a read blocks, each with a letter.
func changes() []struct {
	letter string
	do     func(r *rig)
} {
	quota := func(tenant api.TenantID) func(*rig) {
		return func(r *rig) {
			q := api.NoQuota()
			q.Leases = 99
			r.must(fsm.SetQuota{Actor: "operator/root", Tenant: tenant, Quota: q})
		}
	}
	return []struct {
		letter string
		do     func(r *rig)
	}{
		{"a", func(r *rig) { r.grantTo("acme", "c1", "l-a", "") }},
		{"b", func(r *rig) { r.grantTo("other", "c1", "l-b", "") }},
		{"c", func(r *rig) { r.grantTo("acme", "g1", "l-c", "") }},
		{"d", func(r *rig) { r.grantTo("other", "g1", "l-d", "") }},
		{"r", func(r *rig) { r.grantTo("acme", "c1", "l-r", "r-new") }},
		{"s", func(r *rig) { r.grantTo("other", "g1", "l-s", "r-other") }},
		{"q", quota("acme")},
		{"u", quota("other")},
		{"h", func(r *rig) { r.unready("c1") }},
		{"i", func(r *rig) { r.unready("g1") }},
		{"p", func(r *rig) { r.must(fsm.EnableProvider{Actor: "operator/root", Provider: "aws", On: false}) }},
		{"1", func(r *rig) { r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: "l-one", Reason: "released"}) }},
		{"2", func(r *rig) { r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: "l-run", Reason: "released"}) }},
		{"t", func(r *rig) { r.must(fsm.Tick{}) }},
	}
}

// grantTo grants a tenant a lease on a cell, for a run where it names one.
func (r *rig) grantTo(tenant api.TenantID, cell api.CellID, id api.LeaseID, run api.RunID) {
	r.t.Helper()
	rec, _ := r.m.View().Cell(cell)
	g := fsm.GrantLeases{
		Actor: "tenant/" + string(tenant), Tenant: tenant, Provider: rec.Provider, Cell: cell, CellEpoch: rec.Epoch,
		Priority: api.PriorityStandard, TTLMs: 60_000, Items: []fsm.GrantItem{{ID: id, Kind: api.KindCPU, Amount: 1}},
	}
	if run != "" {
		g.Items = append(g.Items, fsm.GrantItem{ID: id + "-mem", Kind: api.KindMem, Use: api.UseLinear, Amount: 1 << 16})
		g.Run = &api.Run{
			ID: run, Tenant: tenant, Provider: rec.Provider, Profile: api.ProfileWASI, Module: digest,
			TTLMs: 60_000, Priority: api.PriorityStandard, Resources: api.Resources{CPU: 1, Mem: 1 << 16},
		}
	}
	r.must(g)
}

// standing makes what is there before anything changes.
func (r *rig) standing() {
	r.must(fsm.EnableProvider{Actor: "operator/root", Provider: "gcp", On: true})
	r.cell("c1")
	r.cellOf("gcp", "g1")
	r.grantTo("acme", "c1", "l-one", "")
	r.grantTo("acme", "c1", "l-run", "r-old")
}

// unready takes a cell's health away.
func (r *rig) unready(id api.CellID) {
	rec, _ := r.m.View().Cell(id)
	r.must(fsm.ChangeHealth{Changes: []fsm.HealthChange{{Cell: id, Epoch: rec.Epoch, Healthy: &api.Condition{Code: "heartbeat_overdue", Message: "old"}}}})
}

func blockedReads() []blockedRead {
	leases := func(f api.LeaseFilter) func(context.Context, *Control, api.ReadOptions) (uint64, error) {
		return func(ctx context.Context, c *Control, o api.ReadOptions) (uint64, error) {
			a, err := c.ListLeases(ctx, f, o)
			return indexOf(a, err, func() uint64 { return a.Index }), err
		}
	}
	runs := func(f api.RunFilter) func(context.Context, *Control, api.ReadOptions) (uint64, error) {
		return func(ctx context.Context, c *Control, o api.ReadOptions) (uint64, error) {
			a, err := c.ListRuns(ctx, f, o)
			return indexOf(a, err, func() uint64 { return a.Index }), err
		}
	}
	cells := func(p api.ProviderID) func(context.Context, *Control, api.ReadOptions) (uint64, error) {
		return func(ctx context.Context, c *Control, o api.ReadOptions) (uint64, error) {
			a, err := c.ListCells(ctx, p, o)
			return indexOf(a, err, func() uint64 { return a.Index }), err
		}
	}
	tenants := func(ctx context.Context, c *Control, o api.ReadOptions) (uint64, error) {
		a, err := c.ListTenants(ctx, o)
		return indexOf(a, err, func() uint64 { return a.Index }), err
	}
	operator, acme, other := (*rig).operator, (*rig).acme, (*rig).other
	return []blockedRead{
		{"all leases", leases(api.LeaseFilter{}), operator, "abcdrs12"},
		{"a tenant's leases", leases(api.LeaseFilter{Tenant: "acme"}), operator, "acr12"},
		{"one's own leases", leases(api.LeaseFilter{}), acme, "acr12"},
		{"another one's own leases", leases(api.LeaseFilter{}), other, "bds"},
		{"a provider's leases", leases(api.LeaseFilter{Provider: "gcp"}), operator, "cds"},
		{"a tenant's leases at a provider", leases(api.LeaseFilter{Tenant: "acme", Provider: "gcp"}), operator, "c"},
		{"a run's leases", leases(api.LeaseFilter{Run: "r-old", All: true}), acme, "2"},
		{"one lease", func(ctx context.Context, c *Control, o api.ReadOptions) (uint64, error) {
			a, err := c.ShowLease(ctx, "l-one", o)
			return indexOf(a, err, func() uint64 { return a.Index }), err
		}, acme, "1"},
		{"one run", func(ctx context.Context, c *Control, o api.ReadOptions) (uint64, error) {
			a, err := c.ShowRun(ctx, "r-old", o)
			return indexOf(a, err, func() uint64 { return a.Index }), err
		}, acme, "2"},
		{"all runs", runs(api.RunFilter{}), operator, "rs"},
		{"a tenant's runs", runs(api.RunFilter{Tenant: "other"}), operator, "s"},
		{"a provider's runs", runs(api.RunFilter{Provider: "gcp"}), operator, "s"},
		{"a cell's runs", runs(api.RunFilter{Cell: "g1"}), operator, "s"},
		{"all cells", cells(""), operator, "abcdrship12"},
		{"a provider's cells", cells("gcp"), operator, "cdsi"},
		{"all providers", func(ctx context.Context, c *Control, o api.ReadOptions) (uint64, error) {
			a, err := c.ListProviders(ctx, o)
			return indexOf(a, err, func() uint64 { return a.Index }), err
		}, operator, "abcdrship12"},
		{"a provider", func(ctx context.Context, c *Control, o api.ReadOptions) (uint64, error) {
			a, err := c.ProviderStatus(ctx, "aws", o)
			return indexOf(a, err, func() uint64 { return a.Index }), err
		}, operator, "abrhp12"},
		{"all tenants", tenants, operator, "abcdrsqu12"},
		{"oneself", tenants, acme, "acrqu12"},
		{"the audit chain", func(ctx context.Context, c *Control, o api.ReadOptions) (uint64, error) {
			a, err := c.AuditRecords(ctx, api.AuditFilter{}, o)
			return indexOf(a, err, func() uint64 { return a.Index }), err
		}, operator, "abcdrsquhip12"},
	}
}

func indexOf[T any](_ *T, err error, index func() uint64) uint64 {
	if err != nil {
		return 0
	}
	return index()
}

// TestReadWakes: a blocking read is woken by what changes its answer, at once, and by
// nothing else.
func TestReadWakes(t *testing.T) {
	for _, tt := range blockedReads() {
		t.Run(tt.name, func(t *testing.T) {
			for _, change := range changes() {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					r.standing()
					at := r.m.View().Index()
					type answer struct {
						index uint64
						err   error
						after time.Duration
					}
					out, began := make(chan answer, 1), time.Now()
					go func() {
						index, err := tt.read(tt.ctx(r), r.c, api.ReadOptions{AfterIndex: at, Wait: time.Minute})
						out <- answer{index, err, time.Since(began)}
					}()
					synctest.Wait()
					change.do(r)
					got := <-out
					want := strings.Contains(tt.wakes, change.letter)
					if woken := got.after == 0; got.err != nil || woken != want || woken && got.index <= at {
						t.Errorf("change %q: woken %v, want %v: %+v after %d", change.letter, woken, want, got, at)
					}
				})
			}
		})
	}
}

// TestReadFromLostState: an index that the cluster has not come to is not waited for; one
// that only this scheduler has not come to is.
func TestReadFromLostState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		began := time.Now()
		list, err := r.c.ListLeases(r.acme(), api.LeaseFilter{}, api.ReadOptions{AfterIndex: r.index + 100, Wait: time.Hour})
		if err != nil || time.Since(began) != 0 || list.Index != r.index {
			t.Errorf("an index of a lost state: %+v, %v after %s", list, err, time.Since(began))
		}

		behind := bareRig(t, 64)
		behind.follow(r, int(r.index)-2)
		behind.read = func() error {
			behind.follow(r, len(r.entries))
			return nil
		}
		list, err = behind.c.ListLeases(behind.acme(), api.LeaseFilter{}, api.ReadOptions{AfterIndex: r.index, Wait: 10 * time.Second})
		if err != nil || list.Index != r.index {
			t.Errorf("at a scheduler that is behind: %+v, %v", list, err)
		}
		atMost(t, began, 10*time.Second)

		behind.read = func() error { return api.Refuse(api.NoLeader, "nobody leads") }
		_, err = behind.c.ListLeases(behind.acme(), api.LeaseFilter{}, api.ReadOptions{AfterIndex: r.index + 1, Wait: time.Hour})
		behind.wantKind("without a leader", err, api.NoLeader)
		// A stale read asks nobody: it waits and answers with what there is.
		began = time.Now()
		list, err = behind.c.ListLeases(behind.acme(), api.LeaseFilter{}, api.ReadOptions{Consistency: api.Stale, AfterIndex: r.index + 1, Wait: 10 * time.Second})
		if err != nil || list.Index != r.index {
			t.Errorf("stale: %+v, %v", list, err)
		}
		atMost(t, began, 10*time.Second)
	})
}

// TestStaleReads answer at once without asking anybody, and say how old they may be; above
// the age that the reader takes they are verified.
func TestStaleReads(t *testing.T) {
	r := newRig(t)
	r.cell("c1")
	r.follows, r.touch = true, 4*time.Second
	r.read = func() error { return api.Refuse(api.NoLeader, "nobody leads") }
	stale := api.ReadOptions{Consistency: api.Stale}
	for _, read := range blockedReads() {
		if read.name == "one lease" || read.name == "one run" {
			continue // which are not there
		}
		if _, err := read.read(read.ctx(r), r.c, stale); err != nil {
			t.Errorf("%s: %v", read.name, err)
		}
	}
	if r.reads != 0 {
		t.Errorf("%d stale reads were verified", r.reads)
	}
	list, err := r.c.ListCells(r.operator(), "", stale)
	if err != nil || list.LastContactMs == nil || *list.LastContactMs != 4000 {
		t.Errorf("got %+v, %v", list, err)
	}
	stale.MaxStale = 4 * time.Second
	if list, err := r.c.ListCells(r.operator(), "", stale); err != nil || list.LastContactMs == nil {
		t.Errorf("no older than is taken: %+v, %v", list, err)
	}
	stale.MaxStale = time.Second
	_, err = r.c.ListCells(r.operator(), "", stale)
	r.wantKind("older than is taken, without a leader", err, api.NoLeader)
	stale.MaxStale, r.touch = time.Hour, api.NeverHeard
	_, err = r.c.ListCells(r.operator(), "", stale)
	r.wantKind("of an age that is not known, without a leader", err, api.NoLeader)
	if list, err := r.c.ListCells(r.operator(), "", api.ReadOptions{Consistency: api.Stale}); err != nil || list.LastContactMs == nil || *list.LastContactMs >= 0 {
		t.Errorf("of an age that is not known: %+v, %v", list, err)
	}
	stale.MaxStale, r.touch, r.read = time.Second, 4*time.Second, nil
	if list, err := r.c.ListCells(r.operator(), "", stale); err != nil || list.LastContactMs != nil {
		t.Errorf("a verified answer has no age: %+v, %v", list, err)
	}
}

// TestWaitTellsNothingOfOthers: a read of what belongs to another tenant ends like one of
// what does not exist, at once, and not when it changes.
func TestWaitTellsNothingOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.standing()
		o := api.ReadOptions{AfterIndex: r.index, Wait: time.Minute}
		began := time.Now()
		for _, id := range []api.LeaseID{"l-one", "l-nothing"} {
			_, err := r.c.ShowLease(r.other(), id, o)
			r.wantKind(string(id), err, api.NotFound)
			if p, ok := api.AsError(err); !ok || p.Index != r.index {
				t.Errorf("the refusal is not of index %d: %+v", r.index, p)
			}
		}
		for _, id := range []api.RunID{"r-old", "r-nothing"} {
			_, err := r.c.ShowRun(r.other(), id, o)
			r.wantKind(string(id), err, api.NotFound)
			if list, err := r.c.ListLeases(r.other(), api.LeaseFilter{Run: id}, o); err != nil || len(list.Leases) != 0 {
				t.Errorf("%s: %+v, %v", id, list, err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("after %s", took)
		}
	})
}
