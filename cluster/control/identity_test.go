package control

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/fsm"
)

// caller reads who a certificate proves.
func callerOf(t *testing.T, certPEM string) api.Caller {
	t.Helper()
	block, _ := pem.Decode([]byte(certPEM))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	c, err := pki.CertCaller(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// registerAs registers agent-1 of cell c1 under a certificate.
func (r *rig) registerAs(c api.Caller) error {
	_, err := r.c.Register(api.WithCaller(r.t.Context(), c), api.RegisterRequest{Provider: "aws", CellID: "c1", Agent: "agent-1", BrokerKey: "bb"})
	return err
}

// A cell's whole life under certificates: bootstrapped, renewed with a new key, renewed after an outage
// with its own, turned away under any other, and revoked with all of them.
func TestIdentityOfACell(t *testing.T) {
	r := newRig(t)
	m := r.material()
	r.must(fsm.RaiseLevel{Level: 2})
	token, err := m.MintBootstrap(pki.BootstrapClaims{Provider: "aws", CellID: "c1", Uses: 1})
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.c.Bootstrap(t.Context(), api.BootstrapRequest{Token: token, Provider: "aws", CellID: "c1", CSR: csr(t)})
	if err != nil {
		t.Fatal(err)
	}
	first := callerOf(t, a.Certificate)
	if left := time.Until(first.NotAfter); left < 24*time.Hour-time.Minute || left > 24*time.Hour {
		t.Errorf("the certificate lives %s", left)
	}
	if err := r.registerAs(first); err != nil {
		t.Fatal(err)
	}
	offline, err := m.Issue(pki.CertRequest{Identity: pki.Identity{Role: api.RoleCell, Provider: "aws", Cell: "c1"}})
	if err != nil {
		t.Fatal(err)
	}
	stray := callerOf(t, string(offline.CertPEM))
	r.wantKind("another key registers", r.registerAs(stray), api.IdentityMismatch)
	r.wantKind("another key asks", r.c.Bound(t.Context(), stray), api.IdentityMismatch)

	renew := func(c api.Caller, csr string) (*api.BootstrapAnswer, error) {
		return r.c.RenewIdentity(api.WithCaller(t.Context(), c), "aws", "c1", api.RenewalRequest{CSR: csr})
	}
	_, err = renew(stray, csr(t))
	r.wantKind("another key is renewed", err, api.IdentityMismatch)
	_, err = r.c.RenewIdentity(api.WithCaller(t.Context(), first), "aws", "c2", api.RenewalRequest{CSR: csr(t)})
	r.wantKind("another cell is renewed", err, api.IdentityMismatch)
	_, err = renew(first, "no request")
	r.wantKind("no request", err, api.InvalidArgument)
	own := csr(t)
	b, err := renew(first, own)
	if err != nil {
		t.Fatal(err)
	}
	second := callerOf(t, b.Certificate)
	_, err = renew(second, own)
	r.wantKind("a renewal of the same key", err, api.InvalidArgument)
	r.wantKind("the new key before it registers", r.c.Bound(t.Context(), second), api.StaleEpoch)
	if err := r.registerAs(second); err != nil {
		t.Fatal(err)
	}
	for _, c := range []api.Caller{first, second} {
		if err := r.c.Bound(t.Context(), c); err != nil {
			t.Errorf("right after the renewal: %v", err)
		}
	}
	r.pass(api.IdentityOverlap + 2*time.Minute)
	r.wantKind("the old key later", r.c.Bound(t.Context(), first), api.IdentityMismatch)

	lapsed := func(cert, csr string) (*api.BootstrapAnswer, error) {
		return r.c.Bootstrap(t.Context(), api.BootstrapRequest{Certificate: cert, Provider: "aws", CellID: "c1", CSR: csr})
	}
	_, err = lapsed(b.Certificate, csr(t))
	r.wantKind("without its key", err, api.IdentityMismatch)
	_, err = r.c.Bootstrap(t.Context(), api.BootstrapRequest{Token: token, Certificate: b.Certificate, Provider: "aws", CellID: "c1", CSR: own})
	r.wantKind("two proofs", err, api.InvalidArgument)
	_, err = r.c.Bootstrap(t.Context(), api.BootstrapRequest{Certificate: b.Certificate, Provider: "aws", CellID: "c2", CSR: own})
	r.wantKind("another cell's", err, api.IdentityMismatch)
	c, err := lapsed(b.Certificate, own)
	if err != nil || callerOf(t, c.Certificate).SPKI != second.SPKI {
		t.Fatalf("with its own key: %v", err)
	}
	if err := r.registerAs(callerOf(t, c.Certificate)); err != nil {
		t.Fatal(err)
	}

	r.must(fsm.RevokeCell{Actor: "operator/root", Provider: "aws", Cell: "c1", Now: true})
	_, err = lapsed(c.Certificate, own)
	r.wantKind("revoked", err, api.IdentityRevoked)
	_, err = renew(second, csr(t))
	r.wantKind("revoked", err, api.IdentityRevoked)
	other := second
	other.Cell = "c9"
	r.wantKind("its key under another name", r.c.Admit(other), api.IdentityRevoked)
}

// A node that is behind asks before it turns a cell away.
func TestBoundCatchesUp(t *testing.T) {
	r := newRig(t)
	r.must(fsm.RaiseLevel{Level: 2})
	r.register("c1", "agent-1")
	caller := api.Caller{Role: api.RoleCell, Provider: "aws", Cell: "c1", SPKI: "key-2"}
	r.mu.Lock()
	r.read = func() error { return api.Refuse(api.NoLeader, "nobody leads") }
	r.mu.Unlock()
	r.wantKind("no leader", r.c.Bound(t.Context(), caller), api.NoLeader)
	r.mu.Lock()
	r.read = nil
	r.mu.Unlock()
	r.wantKind("another key", r.c.Bound(t.Context(), caller), api.IdentityMismatch)
	for _, c := range []api.Caller{{Role: api.RoleTenant, Name: "acme"}, {Role: api.RoleCell, Provider: "aws", Cell: "c9", SPKI: "x"}} {
		if err := r.c.Bound(t.Context(), c); err != nil {
			t.Errorf("%s: %v", c.Actor(), err)
		}
	}
	r.must(fsm.Recovered{ID: "rec-1", Node: "s1"})
	r.wantKind("after a recovery", r.c.Bound(t.Context(), caller), api.StaleEpoch)
}

// What a drained cell waits for is told per lease.
func TestCellDrain(t *testing.T) {
	r := newRig(t)
	r.must(fsm.RaiseLevel{Level: 2})
	r.cellOf("aws", "c1")
	ctx := r.operator()
	look := func() *api.CellDrain {
		t.Helper()
		d, err := r.c.CellDrain(ctx, "c1", api.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := look(); !d.Done || len(d.Leases) != 0 || d.Mode != api.ModeAccepting {
		t.Errorf("before: %+v", d)
	}
	res, err := r.Admit(context.Background(), fsm.GrantLeases{
		Actor: "tenant/acme", Tenant: "acme", Provider: "aws", Priority: api.PriorityStandard, TTLMs: 60_000,
		Stamp: api.Stamp{BootID: "b", BootTime: 1}, Items: []fsm.GrantItem{{Kind: api.KindCPU, Amount: 100}},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := res.Leases[0]
	rec, _ := r.m.View().Cell("c1")
	r.must(fsm.ReportCell{Cell: "c1", Epoch: rec.Epoch, Bound: []api.BoundReport{{LeaseID: id, Generation: 1, Epoch: r.lease(id).Epoch}}})
	want := func(wait api.DrainWait, until time.Duration) {
		t.Helper()
		d := look()
		if d.Done || len(d.Leases) != 1 || d.Leases[0].WaitsFor != wait {
			t.Errorf("waits for %+v, want %s", d.Leases, wait)
			return
		}
		if left := d.Leases[0].Until.Sub(r.m.View().Wall()); left < until-2*time.Second || left > until+2*time.Second {
			t.Errorf("%s ends in %s, want %s", wait, left, until)
		}
	}
	a, err := r.c.DrainCell(ctx, "c1", api.DrainRequest{}, api.WriteOptions{Reason: "a new kernel"})
	if err != nil || a.Cell.State != api.CellDraining || a.Cell.Mode != api.ModeDraining {
		t.Fatalf("drain: %+v, %v", a, err)
	}
	want(api.WaitHolder, time.Minute)
	if _, err := r.c.DrainCell(ctx, "c1", api.DrainRequest{GraceMs: 10_000, Maintenance: true}, api.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	want(api.WaitGrace, 10*time.Second)
	r.must(fsm.RevokeLease{Actor: "operator/root", Lease: id})
	want(api.WaitCell, time.Minute+api.HoldDown(time.Minute))
	r.must(fsm.ChangeHealth{Changes: []fsm.HealthChange{{Cell: "c1", Epoch: rec.Epoch, Healthy: &api.Condition{Code: "heartbeat_overdue"}}}})
	want(api.WaitHoldDown, time.Minute+api.HoldDown(time.Minute))
	r.must(fsm.ReportCell{Cell: "c1", Epoch: rec.Epoch, Ended: []api.EndedReport{{LeaseID: id, Epoch: r.lease(id).Epoch, State: api.LeaseTornDown}}})
	r.must(fsm.SetCellMode{Actor: "scheduler", Provider: "aws", Cell: "c1", Mode: api.ModeMaintenance})
	if d := look(); !d.Done || d.Mode != api.ModeMaintenance {
		t.Errorf("at the end: %+v", d)
	}
	u, err := r.c.UndrainCell(ctx, "c1", api.WriteOptions{DryRun: true})
	if err != nil || u.Cell.Mode != api.ModeMaintenance {
		t.Errorf("dry run: %+v, %v", u, err)
	}
	if u, err = r.c.UndrainCell(ctx, "c1", api.WriteOptions{}); err != nil || u.Cell.Mode != api.ModeReturning || u.Cell.State != api.CellWarming {
		t.Errorf("undrain: %+v, %v", u, err)
	}
	_, err = r.c.DrainCell(ctx, "c9", api.DrainRequest{}, api.WriteOptions{})
	r.wantKind("unknown", err, api.NotFound)
	_, err = r.c.CellDrain(ctx, "c9", api.ReadOptions{})
	r.wantKind("unknown", err, api.NotFound)
	_, err = r.c.DrainCell(ctx, "c1", api.DrainRequest{GraceMs: -1}, api.WriteOptions{})
	r.wantKind("negative", err, api.InvalidArgument)
}
