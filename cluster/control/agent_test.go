package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/fsm"
)

// csr makes a certificate request of a new key.
func csr(t *testing.T) string {
	t.Helper()
	b, _, err := pki.NewCSR()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBootstrap(t *testing.T) {
	r := newRig(t)
	m := r.material()
	mint := func(c pki.BootstrapClaims) string {
		t.Helper()
		c.ExpiresAt = time.Now().Add(time.Hour)
		token, err := m.MintBootstrap(c)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	one := mint(pki.BootstrapClaims{Provider: "aws", CellID: "c1", Uses: 1})
	key := csr(t)
	ask := api.BootstrapRequest{Token: one, Provider: "aws", CellID: "c1", CSR: key}
	a, err := r.c.Bootstrap(t.Context(), ask)
	if err != nil || a.ClusterID != "g-test" || !strings.HasPrefix(a.Certificate, "-----BEGIN CERTIFICATE") || a.CA != string(m.CAPEM) {
		t.Fatalf("got %+v, %v", a, err)
	}
	if _, err := r.c.Bootstrap(t.Context(), ask); err != nil {
		t.Errorf("the same key again: %v", err)
	}
	tests := []struct {
		name   string
		change func(q *api.BootstrapRequest)
		kind   api.Kind
	}{
		{"another key", func(q *api.BootstrapRequest) { q.CSR = csr(t) }, api.BootstrapTokenUsed},
		{"another provider", func(q *api.BootstrapRequest) { q.Provider = "gcp" }, api.BootstrapTokenInvalid},
		{"another cell", func(q *api.BootstrapRequest) { q.CellID = "c2" }, api.BootstrapTokenInvalid},
		{"no name", func(q *api.BootstrapRequest) { q.CellID = "../c1" }, api.InvalidArgument},
		{"no token", func(q *api.BootstrapRequest) { q.Token = "" }, api.BootstrapTokenInvalid},
		{"no request", func(q *api.BootstrapRequest) { q.CSR = "key" }, api.InvalidArgument},
		{"a provider that does not exist", func(q *api.BootstrapRequest) {
			q.Provider, q.Token = "nowhere", mint(pki.BootstrapClaims{Provider: "nowhere", Uses: 1})
		}, api.NotFound},
	}
	for _, tt := range tests {
		q := ask
		tt.change(&q)
		_, err := r.c.Bootstrap(t.Context(), q)
		r.wantKind(tt.name, err, tt.kind)
	}
}

func TestRegister(t *testing.T) {
	r := newRig(t)
	caller := api.Caller{Role: api.RoleCell, Provider: "aws", Cell: "c1", SPKI: "ab", Serial: "01", NotAfter: time.Now().Add(time.Hour)}
	ctx := api.WithCaller(t.Context(), caller)
	ask := api.RegisterRequest{Provider: "aws", CellID: "c1", Agent: "agent-1", BrokerKey: "bb", DataURL: "https://10.0.0.1:7500", Version: "v0"}
	a, err := r.c.Register(ctx, ask)
	if err != nil || a.Epoch != 1 || a.HeartbeatMs != 5000 || a.LimitMs != 15_000 || a.WarmupMs != 30_000 || a.Schedulers[0] != "https://s1" {
		t.Fatalf("got %+v, %v", a, err)
	}
	for name, bad := range map[string]api.RegisterRequest{
		"another cell":     {Provider: "aws", CellID: "c2"},
		"another provider": {Provider: "gcp", CellID: "c1"},
	} {
		_, err := r.c.Register(ctx, bad)
		r.wantKind(name, err, api.IdentityMismatch)
	}
	for _, at := range []string{
		"http://10.0.0.1:7500", "10.0.0.1:7500", "https://", "https:///v1", "file:///etc/passwd", "https://u:p@10.0.0.1:7500", "https://10.0.0.1:7500?q", "https://10.0.0.1:7500#f", "https://%zz",
	} {
		bad := ask
		bad.DataURL = at
		_, err := r.c.Register(ctx, bad)
		r.wantKind("a data plane at "+at, err, api.InvalidArgument)
	}
	_, err = r.c.Register(r.operator(), ask)
	r.wantKind("an operator", err, api.IdentityMismatch)
	if err := r.c.Admit(caller); err != nil {
		t.Errorf("admit: %v", err)
	}
	r.must(fsm.RevokeCell{Actor: "operator/root", Provider: "aws", Cell: "c1", Now: true})
	r.wantKind("revoked", r.c.Admit(caller), api.IdentityRevoked)
	_, err = r.c.Register(ctx, ask)
	r.wantKind("revoked", err, api.IdentityRevoked)
	if err := r.c.Admit(api.Caller{Role: api.RoleTenant, Name: "c1"}); err != nil {
		t.Errorf("a tenant by a cell's name: %v", err)
	}
}

func TestUseLogin(t *testing.T) {
	r := newRig(t)
	l := pki.LoginClaims{ID: "jti", Name: "root", Role: api.RoleOperator, ExpiresAt: time.Now().Add(time.Minute)}
	if err := r.c.UseLogin(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	r.wantKind("again", r.c.UseLogin(t.Context(), l), api.Forbidden)
}

func TestTenants(t *testing.T) {
	r := newRig(t)
	q := api.NoQuota()
	q.CPU = 7
	if a, err := r.c.CreateTenant(r.operator(), "new", api.WriteOptions{DryRun: true}); err != nil || a.Tenant.ID != "new" {
		t.Errorf("dry run: %+v, %v", a, err)
	}
	if _, ok := r.m.View().Tenant("new"); ok {
		t.Error("a dry run made a tenant")
	}
	for range 2 {
		if a, err := r.c.CreateTenant(r.operator(), "new", api.WriteOptions{IdempotencyKey: "k"}); err != nil || a.Tenant.ID != "new" {
			t.Errorf("create: %+v, %v", a, err)
		}
	}
	_, err := r.c.CreateTenant(r.operator(), "new", api.WriteOptions{})
	r.wantKind("exists", err, api.Conflict)
	_, err = r.c.CreateTenant(r.operator(), "a/b", api.WriteOptions{})
	r.wantKind("no name", err, api.InvalidArgument)
	if a, err := r.c.SetQuota(r.operator(), "new", q, api.WriteOptions{}); err != nil || a.Tenant.Quota.CPU != 7 {
		t.Errorf("quota: %+v, %v", a, err)
	}
	if a, err := r.c.DeleteTenant(r.operator(), "new", api.WriteOptions{}); err != nil || a.Tenant.Quota.CPU != 7 {
		t.Errorf("delete: %+v, %v", a, err)
	}
	r.cell("c1")
	r.grant()
	_, err = r.c.DeleteTenant(r.operator(), "acme", api.WriteOptions{})
	r.wantKind("with leases", err, api.TenantHasLeases)
}

func TestProviders(t *testing.T) {
	r := newRig(t)
	r.cell("c1")
	if st, err := r.c.EnableProvider(r.operator(), "aws", false, api.WriteOptions{DryRun: true}); err != nil || !st.Enabled {
		t.Errorf("dry run: %+v, %v", st, err)
	}
	if st, err := r.c.EnableProvider(r.operator(), "aws", false, api.WriteOptions{}); err != nil || st.RuntimeReadiness != api.ProviderDisabled {
		t.Errorf("disable: %+v, %v", st, err)
	}
	list, err := r.c.ListProviders(r.acme(), api.ReadOptions{})
	if err != nil || len(list.Providers) != 2 || list.Providers[0].Provider != "aws" || list.Providers[0].CellsTotal != 1 {
		t.Errorf("list: %+v, %v", list, err)
	}
	_, err = r.c.RevokeCell(r.operator(), "aws", "c1", api.RevokeCellRequest{GraceMs: -1}, api.WriteOptions{})
	r.wantKind("grace", err, api.InvalidArgument)
	_, err = r.c.RevokeCell(r.operator(), "aws", "c9", api.RevokeCellRequest{}, api.WriteOptions{})
	r.wantKind("unknown cell", err, api.NotFound)
	if _, err := r.c.RevokeCell(r.operator(), "aws", "c1", api.RevokeCellRequest{Now: true}, api.WriteOptions{}); err != nil {
		t.Error(err)
	}
	if c, _ := r.m.View().Cell("c1"); !c.Revoked {
		t.Error("not barred")
	}
}

// TestAskPeers: those who answer are heard, those who do not keep nobody waiting.
func TestAskPeers(t *testing.T) {
	r := newRig(t)
	epoch := r.cell("c1")
	r.c.AskPeers(t.Context()) // nobody answers
	r.peer = sightings{table: api.SightingTable{Node: "s2", Digest: 1, Sightings: []api.Sighting{
		{CellID: "c1", Epoch: epoch, Seq: 3, Stamp: api.Stamp{BootID: "boot", BootTime: 1}, Session: true},
	}}}
	r.c.AskPeers(t.Context())
	if s, ok := r.c.cfg.Sightings.Best("c1", epoch); !ok || s.Holder != "s2" {
		t.Errorf("got %+v", s)
	}
}

type sightings struct {
	api.Peers
	table api.SightingTable
}

func (s sightings) Sightings(context.Context) (*api.SightingTable, error) { return &s.table, nil }
