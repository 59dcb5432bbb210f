package fsm

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func TestInitCluster(t *testing.T) {
	r := newRig(t).cluster()
	r.must(EnableProvider{Provider: "aws", On: false})
	again := InitCluster{ClusterID: "g-test", Providers: []api.Provider{{ID: "aws", Enabled: true}, {ID: "local", Enabled: true}}}
	r.must(again)
	aws, _ := r.m.View().Provider("aws")
	local, ok := r.m.View().Provider("local")
	if aws.Enabled || !ok || local.Ownership != api.OwnedByCustomer || r.m.View().ClusterID() != "g-test" {
		t.Errorf("aws %+v, local %+v", aws, local)
	}
	if res := r.must(again); res.Changed {
		t.Error("initialised twice")
	}
	again.ClusterID = "g-other"
	r.refused(api.Conflict, again)
	r.refused(api.InvalidArgument, InitCluster{})
	r.refused(api.InvalidArgument, InitCluster{ClusterID: "g-test", Providers: []api.Provider{{ID: "AWS"}}})
	r.refused(api.InvalidArgument, InitCluster{ClusterID: "g-test", Providers: []api.Provider{{ID: "a", Ownership: "rented"}}})
	r.refused(api.TooLarge, InitCluster{ClusterID: "g-test", Providers: make([]api.Provider, maxProviders+1)})
}

func TestEnableProvider(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grant(cpu("l1", 1)))
	audits := len(r.audit)
	r.must(EnableProvider{Actor: "operator/root", Provider: "aws", On: false, Reason: "maintenance"})
	if res := r.must(EnableProvider{Provider: "aws", On: false}); res.Changed {
		t.Error("disabled twice")
	}
	r.refused(api.RuntimeNotReady, grant(cpu("l2", 1)))
	r.must(RenewLease{Lease: "l1", TTLMs: 60_000}) // running work goes on
	cell, _ := r.m.View().Cell("aws-1")
	if _, reasons := r.m.View().Readiness(cell); len(reasons) != 1 || reasons[0].Code != CodeProviderDisabled {
		t.Errorf("reasons %+v", reasons)
	}
	r.must(EnableProvider{Provider: "aws", On: true})
	if got := r.audited(audits); !slices.Equal(got, []string{"provider_disabled", "lease_renewed", "provider_enabled"}) {
		t.Errorf("audited %v", got)
	}
	r.refused(api.NotFound, EnableProvider{Provider: "mars", On: true})
}

func TestTenants(t *testing.T) {
	r := newRig(t).cluster()
	audits := len(r.audit)
	r.must(CreateTenant{Actor: "operator/root", Tenant: "beta", Quota: api.NoQuota()})
	r.refused(api.Conflict, CreateTenant{Tenant: "beta", Quota: api.NoQuota()})
	r.refused(api.InvalidArgument, CreateTenant{Tenant: "Beta", Quota: api.NoQuota()})
	r.refused(api.InvalidArgument, CreateTenant{Tenant: "gamma", Quota: api.Quota{CPU: -2}})
	r.refused(api.NotFound, SetQuota{Tenant: "gamma", Quota: api.NoQuota()})
	r.must(SetQuota{Tenant: "beta", Quota: api.Quota{}})
	if res := r.must(SetQuota{Tenant: "beta", Quota: api.Quota{}}); res.Changed {
		t.Error("set to the same")
	}
	r.refused(api.NotFound, DeleteTenant{Tenant: "gamma"})
	r.must(DeleteTenant{Tenant: "beta"})
	if got := r.audited(audits); !slices.Equal(got, []string{"tenant_created", "quota_set", "tenant_deleted"}) {
		t.Errorf("audited %v", got)
	}
	r.must(grant(cpu("l1", 1)))
	r.refused(api.TenantHasLeases, DeleteTenant{Tenant: "acme"})
	r.must(FreeLease{Lease: "l1"})
	r.refused(api.TenantHasLeases, DeleteTenant{Tenant: "acme"})
	r.ended(api.LeaseTornDown, "", "l1")
	r.must(DeleteTenant{Tenant: "acme"})
}

// A quota that is lowered under what a tenant holds takes nothing away.
func TestQuotaIsLowered(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grant(cpu("l1", 1000), cpu("l2", 500)))
	q := api.NoQuota()
	q.CPU, q.Leases = 800, 1
	r.must(SetQuota{Tenant: "acme", Quota: q})
	if tenant, _ := r.m.View().Tenant("acme"); tenant.Held != (api.Quota{CPU: 1500, Leases: 2}) {
		t.Errorf("held %+v", tenant.Held)
	}
	r.refused(api.QuotaExceeded, grant(cpu("l3", 1)))
	r.must(FreeLease{Lease: "l1"})
	r.ended(api.LeaseTornDown, "", "l1")
	if tenant, _ := r.m.View().Tenant("acme"); tenant.Held != (api.Quota{}) {
		t.Errorf("held %+v", tenant.Held)
	}
}

func TestUseToken(t *testing.T) {
	r := newRig(t).cluster()
	use := UseToken{
		Actor: "cell/aws/aws-2", JTI: "j1", Purpose: PurposeBootstrap, Uses: 1, Expires: startWall/1000 + 900,
		Provider: "aws", Cell: "aws-2", SPKI: "k1",
	}
	if res := r.must(use); res.Replayed || !res.Changed {
		t.Errorf("first use %+v", res)
	}
	if res := r.must(use); !res.Replayed || res.Changed {
		t.Errorf("the same key again %+v", res)
	}
	other := use
	other.SPKI = "k2"
	r.refused(api.BootstrapTokenUsed, other)
	for kind, change := range map[api.Kind]func(*UseToken){
		api.NotFound:              func(c *UseToken) { c.Provider = "mars" },
		api.IdentityMismatch:      func(c *UseToken) { c.Provider, c.Cell = "gcp", "aws-1" },
		api.BootstrapTokenInvalid: func(c *UseToken) { c.Purpose = PurposeLogin },
		api.InvalidArgument:       func(c *UseToken) { c.Uses = 0 },
	} {
		c := use
		change(&c)
		r.refused(kind, c)
	}
	r.must(RevokeCell{Provider: "aws", Cell: "aws-1", Now: true})
	other.Cell, other.JTI = "aws-1", "j2"
	r.refused(api.IdentityRevoked, other)

	// A login link has no key: each use counts.
	login := UseToken{JTI: "j3", Purpose: PurposeLogin, Uses: 1, Expires: startWall/1000 + 60}
	r.must(login)
	r.refused(api.BootstrapTokenUsed, login)

	// A clock that is set ahead does not make the record go early.
	r.wall += 100 * 24 * time.Hour.Milliseconds()
	r.pass(24*time.Hour + 14*time.Minute)
	if _, ok := r.m.View().Token("j1"); !ok {
		t.Error("the token was forgotten too early")
	}
	r.pass(2 * time.Minute)
	if _, ok := r.m.View().Token("j1"); ok {
		t.Error("the token was never forgotten")
	}
}

func TestReferBlob(t *testing.T) {
	r := newRig(t).cluster()
	ref := ReferBlob{Tenant: "acme", Digest: module, Size: 5}
	r.must(ref)
	if !r.m.View().BlobRef("acme", module) || r.m.View().BlobRef("beta", module) || !r.m.View().Referenced(module) {
		t.Error("not referenced")
	}
	if res := r.must(ref); res.Changed {
		t.Error("referred twice")
	}
	r.refused(api.Conflict, ReferBlob{Tenant: "acme", Digest: module, Size: 6})
	r.refused(api.NotFound, ReferBlob{Tenant: "beta", Digest: module})
	r.refused(api.InvalidArgument, ReferBlob{Tenant: "acme", Digest: "sha256:1"})
	r.refused(api.InvalidArgument, ReferBlob{Tenant: "acme", Digest: module, Size: -1})
	r.pass(2 * time.Hour)
	if res := r.must(ref); !res.Changed {
		t.Error("a use long after changed nothing")
	}
	r.pass(23 * time.Hour)
	if !r.m.View().BlobRef("acme", module) {
		t.Error("forgotten within a day of its last use")
	}
	r.pass(2 * time.Hour)
	if r.m.View().BlobRef("acme", module) {
		t.Error("never forgotten")
	}
}

func TestNoteRefusals(t *testing.T) {
	r := newRig(t).cluster()
	audits := len(r.audit)
	r.must(NoteRefusals{Refusals: []Refusal{{Tenant: "acme", Kind: api.QuotaExceeded, Provider: "aws", Count: 3}}})
	rec := r.audit[audits]
	if rec.Kind != "admission_refused" || rec.Identity != "tenant/acme" || string(rec.Data) != `{"tenant":"acme","kind":"quota_exceeded","provider":"aws","count":3}` {
		t.Errorf("record %+v %s", rec, rec.Data)
	}
	r.refused(api.InvalidArgument, NoteRefusals{Refusals: []Refusal{{Tenant: "acme", Kind: "because", Count: 1}}})
	r.refused(api.InvalidArgument, NoteRefusals{Refusals: []Refusal{{Tenant: "acme", Kind: api.Conflict}}})
	r.refused(api.TooLarge, NoteRefusals{Refusals: make([]Refusal, MaxRefusals+1)})
}

// What has ended is forgotten in bounded steps, by ticks and by whoever adds.
func TestPruneIsBounded(t *testing.T) {
	r := newRig(t).cluster()
	r.quick = true
	const ended = 2*pruneStep + 40
	for i := range ended {
		id := api.LeaseID(fmt.Sprintf("l%03d", i))
		r.must(grant(cpu(id, 1)))
		r.ended(api.LeaseTornDown, "", id)
	}
	for range 2 * 3600 / 5 {
		r.tick += MaxStep
		r.do() // time goes on, nothing is pruned
	}
	r.do(Tick{}) // the two hours are over, and nothing is late
	if n := r.m.View().Counts().Leases; n != ended {
		t.Errorf("%d leases are left of %d", n, ended)
	}
	r.tick += MaxStep
	r.do(Tick{})
	if n := r.m.View().Counts().Leases; n != ended-pruneStep {
		t.Errorf("%d leases are left after one tick", n)
	}
	r.must(grant(cpu("new", 1)))
	if n := r.m.View().Counts().Leases; n != ended-2*pruneStep+1 {
		t.Errorf("%d leases are left after a grant", n)
	}
	r.do(Tick{})
	if n := r.m.View().Counts().Leases; n != 1 {
		t.Errorf("%d leases are left", n)
	}
	r.check()
}

// A table that is over its bound, or whose oldest record is late, is brought back to where it
// should be, and not before.
func TestWhatIsOver(t *testing.T) {
	s := newState(codec{})
	s.meta.Now = api.Tick(5 * time.Hour)
	limit := s.meta.Now - keepEnded
	for _, c := range []struct {
		at    api.Tick
		n     int
		begun bool
		want  bool
	}{
		{limit + 1, MaxEnded, false, false},
		{limit, MaxEnded, false, false},
		{limit - pruneLate, MaxEnded, false, true},
		{limit, MaxEnded, true, true},
		{limit + 1, MaxEnded, true, false},
		{limit + 1, MaxEnded + pruneSlack, false, false},
		{limit + 1, MaxEnded + pruneSlack + 1, false, true},
		{limit + 1, MaxEnded + 1, true, true},
	} {
		if got := s.over(c.at, c.n, c.begun); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestLists(t *testing.T) {
	r := newRig(t).cluster()
	r.ready("aws", "aws-2")
	for i := range 7 {
		c := grant(cpu(api.LeaseID(fmt.Sprintf("l%d", i)), 1))
		c.Cell = api.CellID(fmt.Sprintf("aws-%d", i%2+1))
		r.must(c)
	}
	r.must(grantRun("r1", 0))
	r.must(grantRun("r2", 0))
	r.must(EndRun{Run: "r2", State: api.RunRevoked})
	r.ended(api.LeaseTornDown, "", "l0", "r2-cpu", "r2-mem")
	r.ended(api.LeaseFenced, "", "l2")
	for name, c := range map[string]struct {
		f    api.LeaseFilter
		want int
	}{
		"all live":            {api.LeaseFilter{}, 7},
		"all":                 {api.LeaseFilter{All: true}, 11},
		"of cell":             {api.LeaseFilter{Cell: "aws-2"}, 3},
		"of tenant":           {api.LeaseFilter{Tenant: "acme"}, 7},
		"of tenant, all":      {api.LeaseFilter{Tenant: "acme", All: true}, 11},
		"of nobody":           {api.LeaseFilter{Tenant: "nobody", All: true}, 0},
		"of run":              {api.LeaseFilter{Run: "r1"}, 2},
		"of run, ended":       {api.LeaseFilter{Run: "r2"}, 0},
		"of run, all":         {api.LeaseFilter{Run: "r2", All: true}, 2},
		"fenced":              {api.LeaseFilter{State: api.LeaseFenced}, 1},
		"torn down":           {api.LeaseFilter{State: api.LeaseTornDown}, 3},
		"torn down of tenant": {api.LeaseFilter{State: api.LeaseTornDown, Tenant: "acme"}, 3},
		"of another provider": {api.LeaseFilter{Provider: "gcp"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, limit := range []int{1, 2, 100} {
				f, seen := c.f, map[api.LeaseID]bool{}
				f.Limit = limit
				for pages := 0; ; pages++ {
					page, next := r.m.View().ListLeases(f)
					for _, l := range page {
						if seen[l.ID] {
							t.Fatalf("limit %d: %s is listed twice", limit, l.ID)
						}
						seen[l.ID] = true
					}
					if next == "" {
						break
					}
					if len(page) != limit || pages > 20 {
						t.Fatalf("limit %d: page %d has %d leases and a next page", limit, pages, len(page))
					}
					f.Page = next
				}
				if len(seen) != c.want {
					t.Errorf("limit %d: %d leases, want %d", limit, len(seen), c.want)
				}
			}
		})
	}
	for _, f := range []api.RunFilter{{}, {Tenant: "acme"}, {Cell: "aws-1"}} {
		runs, _ := r.m.View().ListRuns(f)
		if len(runs) != 2 {
			t.Errorf("%+v: %d runs", f, len(runs))
		}
		f.Limit = 1
		first, next := r.m.View().ListRuns(f)
		f.Page = next
		second, end := r.m.View().ListRuns(f)
		if len(first) != 1 || len(second) != 1 || first[0].ID == second[0].ID || end != "" {
			t.Errorf("%+v: pages %v %v %q", f, first, second, end)
		}
	}
	if got := len(r.m.View().LeasesOn("aws-1")); got != 4 {
		t.Errorf("%d leases on aws-1", got)
	}
	if got := r.m.View().LeasesChangedOn("aws-1", r.index-1); len(got) != 1 || got[0].ID != "l2" {
		t.Errorf("changed %+v", got)
	}
}
