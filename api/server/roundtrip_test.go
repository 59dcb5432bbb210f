package server

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
)

// filledReport is one whose coordinates are such.
func filledReport() api.Report {
	r := filled[api.Report]()
	for i := range r.Bound {
		r.Bound[i].Coordinate = "https://" + r.Bound[i].Coordinate
	}
	return r
}

// TestRoundTrip calls every method of every service through client and server, and compares
// what arrived at the service and what came back.
func TestRoundTrip(t *testing.T) {
	n := start(t, nil)
	n.fake.blob = "some bytes"
	read := api.ReadOptions{Consistency: api.Stale, AfterIndex: 7, Wait: 3 * time.Second}
	wrote := api.WriteOptions{IdempotencyKey: "k-1", Reason: "be cause & more", DryRun: true}
	lease := api.LeaseRequest{Provider: "aws", Resources: api.Resources{CPU: 1, Mem: 2, Block: 512, Net: 4, GPU: 5}, TTLMs: 60000, Tenant: "acme", Priority: api.PriorityStandard}
	d := digest("some bytes")
	run := api.RunRequest{
		Provider: "aws", Tenant: "acme", Tasklet: "t", Profile: api.ProfileWASI, Module: d, Input: d, Invocation: d,
		Resources: api.Resources{CPU: 1, Mem: 2}, TTLMs: 1000, Priority: api.PriorityGuaranteed, Retries: 2, Fuel: -1,
	}
	plan := api.PlanRequest{Provider: "aws", Tenant: "acme", Resources: lease.Resources, TTLMs: 5000, Priority: api.PriorityScavenger, Module: d}
	batch := api.BatchRequest{Requests: []api.BatchItem{{LeaseRequest: lease, IdempotencyKey: "i"}, {LeaseRequest: lease}}}
	report := filledReport()
	register := filled[api.RegisterRequest]()
	register.Provider, register.CellID = "aws", "aws-1"

	type rows = []struct {
		role api.Role
		call string
		args []any
		do   func(ctx context.Context, c *client.Client) (any, error)
		want any
	}
	tests := rows{
		{api.RoleViewer, "ListProviders", []any{read}, func(ctx context.Context, c *client.Client) (any, error) { return c.ListProviders(ctx, read) }, filled[api.ProviderList]()},
		{api.RoleTenant, "ProviderStatus", []any{api.ProviderID("aws"), read}, func(ctx context.Context, c *client.Client) (any, error) { return c.ProviderStatus(ctx, "aws", read) }, filled[api.ProviderStatus]()},
		{api.RoleOperator, "EnableProvider", []any{api.ProviderID("aws"), true, wrote}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.EnableProvider(ctx, "aws", true, wrote)
		}, filled[api.ProviderStatus]()},
		{api.RoleOperator, "EnableProvider", []any{api.ProviderID("aws"), false, wrote}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.EnableProvider(ctx, "aws", false, wrote)
		}, filled[api.ProviderStatus]()},
		{api.RoleOperator, "RevokeCell", []any{api.ProviderID("aws"), api.CellID("aws-1"), api.RevokeCellRequest{GraceMs: 10, Now: true}, wrote}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.RevokeCell(ctx, "aws", "aws-1", api.RevokeCellRequest{GraceMs: 10, Now: true}, wrote)
		}, filled[api.ProviderStatus]()},
		{api.RoleOperator, "ListCells", []any{api.ProviderID("aws"), read}, func(ctx context.Context, c *client.Client) (any, error) { return c.ListCells(ctx, "aws", read) }, filled[api.CellList]()},
		{api.RoleOperator, "DrainCell", []any{api.CellID("aws-1"), api.DrainRequest{GraceMs: 10, Maintenance: true}, wrote}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.DrainCell(ctx, "aws-1", api.DrainRequest{GraceMs: 10, Maintenance: true}, wrote)
		}, filled[api.CellAnswer]()},
		{api.RoleOperator, "UndrainCell", []any{api.CellID("aws-1"), wrote}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.UndrainCell(ctx, "aws-1", wrote)
		}, filled[api.CellAnswer]()},
		{api.RoleOperator, "CellDrain", []any{api.CellID("aws-1"), read}, func(ctx context.Context, c *client.Client) (any, error) { return c.CellDrain(ctx, "aws-1", read) }, filled[api.CellDrain]()},
		{"", "Bootstrap", []any{api.BootstrapRequest{Token: "t", Provider: "aws", CellID: "aws-1", CSR: "c"}}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.Bootstrap(ctx, api.BootstrapRequest{Token: "t", Provider: "aws", CellID: "aws-1", CSR: "c"})
		}, filled[api.BootstrapAnswer]()},
		{api.RoleCell, "Register", []any{register}, func(ctx context.Context, c *client.Client) (any, error) { return c.Register(ctx, register) }, filled[api.RegisterAnswer]()},
		{api.RoleCell, "RenewIdentity", []any{api.ProviderID("aws"), api.CellID("aws-1"), api.RenewalRequest{CSR: "c"}}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.RenewIdentity(ctx, "aws", "aws-1", api.RenewalRequest{CSR: "c"})
		}, filled[api.BootstrapAnswer]()},
		{api.RoleCell, "Report", []any{api.ProviderID("aws"), api.CellID("aws-1"), report}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.Report(ctx, "aws", "aws-1", report)
		}, filled[api.ReportAnswer]()},
		{api.RoleTenant, "RequestLeases", []any{lease, wrote}, func(ctx context.Context, c *client.Client) (any, error) { return c.RequestLeases(ctx, lease, wrote) }, filled[api.GrantSet]()},
		{api.RoleTenant, "RequestBatch", []any{batch, wrote}, func(ctx context.Context, c *client.Client) (any, error) { return c.RequestBatch(ctx, batch, wrote) }, filled[api.BatchAnswer]()},
		{api.RoleTenant, "ShowLease", []any{api.LeaseID("l-1"), read}, func(ctx context.Context, c *client.Client) (any, error) { return c.ShowLease(ctx, "l-1", read) }, filled[api.LeaseAnswer]()},
		{api.RoleTenant, "RenewLease", []any{api.LeaseID("l-1"), api.RenewRequest{TTLMs: 5000}, wrote}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.RenewLease(ctx, "l-1", api.RenewRequest{TTLMs: 5000}, wrote)
		}, filled[api.LeaseAnswer]()},
		{api.RoleTenant, "LeaseToken", []any{api.LeaseID("l-1"), wrote}, func(ctx context.Context, c *client.Client) (any, error) { return c.LeaseToken(ctx, "l-1", wrote) }, filled[api.LeaseAnswer]()},
		{api.RoleTenant, "FreeLease", []any{api.LeaseID("l-1"), wrote}, func(ctx context.Context, c *client.Client) (any, error) { return c.FreeLease(ctx, "l-1", wrote) }, filled[api.LeaseAnswer]()},
		{api.RoleOperator, "UnfenceLease", []any{api.LeaseID("l-1"), wrote}, func(ctx context.Context, c *client.Client) (any, error) { return c.UnfenceLease(ctx, "l-1", wrote) }, filled[api.LeaseAnswer]()},
		{api.RoleTenant, "LeaseData", []any{api.DataRequest{Lease: "l-1", Write: true, Token: "t", Proof: "p", Offset: 7, Length: 4}, "text"}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.LeaseData(ctx, api.DataRequest{Lease: "l-1", Write: true, Token: "t", Proof: "p", Offset: 7, Length: 4, Body: strings.NewReader("text")})
		}, api.DataAnswer{Nonce: "n"}},
		{api.RoleCell, "RelayAnswer", []any{api.CellID("aws-1"), "q", api.RelayAnswer{Nonce: "n", Length: 4}, "text"}, func(ctx context.Context, c *client.Client) (any, error) {
			return &struct{}{}, c.RelayAnswer(ctx, "aws-1", "q", api.RelayAnswer{Nonce: "n", Length: 4, Body: strings.NewReader("text")})
		}, struct{}{}},
		{api.RoleCell, "RelayAnswer", []any{api.CellID("aws-1"), "q", api.RelayAnswer{Problem: api.Refuse(api.StaleEpoch, "no"), Nonce: "n"}, ""}, func(ctx context.Context, c *client.Client) (any, error) {
			return &struct{}{}, c.RelayAnswer(ctx, "aws-1", "q", api.RelayAnswer{Problem: api.Refuse(api.StaleEpoch, "no"), Nonce: "n"})
		}, struct{}{}},
		{api.RoleOperator, "RevokeLease", []any{api.LeaseID("l-1"), api.RevokeRequest{GraceMs: 5}, wrote}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.RevokeLease(ctx, "l-1", api.RevokeRequest{GraceMs: 5}, wrote)
		}, filled[api.LeaseAnswer]()},
		{api.RoleTenant, "Plan", []any{plan, read}, func(ctx context.Context, c *client.Client) (any, error) { return c.Plan(ctx, plan, read) }, filled[api.Plan]()},
		{api.RoleTenant, "StartRun", []any{run, wrote}, func(ctx context.Context, c *client.Client) (any, error) { return c.StartRun(ctx, run, wrote) }, filled[api.RunAnswer]()},
		{api.RoleTenant, "ShowRun", []any{api.RunID("r-1"), read}, func(ctx context.Context, c *client.Client) (any, error) { return c.ShowRun(ctx, "r-1", read) }, filled[api.RunAnswer]()},
		{api.RoleTenant, "HasBlob", []any{d}, func(ctx context.Context, c *client.Client) (any, error) {
			has, err := c.HasBlob(ctx, d)
			return &has, err
		}, true},
		{api.RoleCell, "PutBlob", []any{d, int64(10), "some bytes"}, func(ctx context.Context, c *client.Client) (any, error) {
			return &struct{}{}, c.PutBlob(ctx, d, 10, strings.NewReader("some bytes"))
		}, struct{}{}},
		{api.RoleOperator, "CreateTenant", []any{api.TenantID("acme"), wrote}, func(ctx context.Context, c *client.Client) (any, error) { return c.CreateTenant(ctx, "acme", wrote) }, filled[api.TenantAnswer]()},
		{api.RoleOperator, "ListTenants", []any{read}, func(ctx context.Context, c *client.Client) (any, error) { return c.ListTenants(ctx, read) }, filled[api.TenantList]()},
		{api.RoleOperator, "SetQuota", []any{api.TenantID("acme"), api.Quota{CPU: 1, Mem: -1, Block: 3, Net: 4, GPU: 0, Leases: 6}, wrote}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.SetQuota(ctx, "acme", api.Quota{CPU: 1, Mem: -1, Block: 3, Net: 4, GPU: 0, Leases: 6}, wrote)
		}, filled[api.TenantAnswer]()},
		{api.RoleOperator, "DeleteTenant", []any{api.TenantID("acme"), wrote}, func(ctx context.Context, c *client.Client) (any, error) { return c.DeleteTenant(ctx, "acme", wrote) }, filled[api.TenantAnswer]()},
		{api.RoleViewer, "NodeState", nil, func(ctx context.Context, c *client.Client) (any, error) { return c.NodeState(ctx) }, filled[api.NodeState]()},
		{api.RoleOperator, "Debug", nil, func(ctx context.Context, c *client.Client) (any, error) { return c.Debug(ctx) }, filled[api.DebugReport]()},
		{api.RoleOperator, "RaftMembers", nil, func(ctx context.Context, c *client.Client) (any, error) { return c.RaftMembers(ctx) }, filled[api.RaftMembers]()},
		{api.RoleOperator, "RaftTransfer", []any{api.NodeID("s1-abc"), wrote}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.RaftTransfer(ctx, "s1-abc", wrote)
		}, filled[api.RaftTransfer]()},
		{api.RoleOperator, "RaftRemove", []any{api.NodeID("s1-abc"), true, wrote}, func(ctx context.Context, c *client.Client) (any, error) {
			return c.RaftRemove(ctx, "s1-abc", true, wrote)
		}, filled[api.RaftMembers]()},
		{api.RoleViewer, "Schedulers", nil, func(ctx context.Context, c *client.Client) (any, error) { return c.Schedulers(ctx) }, filled[api.SchedulerList]()},
	}
	clients := map[api.Role]*client.Client{}
	for _, tt := range tests {
		t.Run(tt.call+" as "+string(tt.role), func(t *testing.T) {
			c, ok := clients[tt.role]
			if !ok {
				c = dial(t, tt.role, n)
			}
			got, err := tt.do(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, reflectElem(got)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			asked := n.fake.last()
			if diff := cmp.Diff(tt.args, asked.Args); diff != "" || asked.Call != tt.call {
				t.Errorf("service was asked %s (-want +got):\n%s", asked.Call, diff)
			}
			if asked.Caller.Role != tt.role {
				t.Errorf("caller has role %q, want %q", asked.Caller.Role, tt.role)
			}
		})
	}
}

func TestRoundTripDownloads(t *testing.T) {
	n := start(t, nil)
	n.fake.blob = strings.Repeat("some bytes", 100_000)
	d := digest(n.fake.blob)
	c := dial(t, api.RoleTenant, n)
	data, err := c.LeaseData(t.Context(), api.DataRequest{Lease: "l-1", Token: "t", Length: int64(len(n.fake.blob))})
	if err != nil || data.Length != int64(len(n.fake.blob)) || data.Nonce != "n" {
		t.Fatal(data, err)
	}
	if b, err := io.ReadAll(data.Body); err != nil || string(b) != n.fake.blob {
		t.Fatalf("got %d bytes of a lease, %v", len(b), err)
	}
	_ = data.Body.Close()
	written, err := dial(t, api.RoleCell, n).RelayBody(t.Context(), "aws-1", "q")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(written); err != nil || string(b) != n.fake.blob {
		t.Fatalf("got %d bytes to write, %v", len(b), err)
	}
	_ = written.Close()
	body, size, err := c.GetBlob(t.Context(), d)
	if err != nil || size != int64(len(n.fake.blob)) {
		t.Fatal(size, err)
	}
	if b, err := io.ReadAll(body); err != nil || string(b) != n.fake.blob {
		t.Fatalf("got %d bytes, %v", len(b), err)
	}
	_ = body.Close()
	art, a, err := c.RunArtifact(t.Context(), "r-1", "out put.bin")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = art.Close() }()
	if diff := cmp.Diff(api.Artifact{Name: "out put.bin", Digest: d, Size: size}, a); diff != "" {
		t.Error(diff)
	}
	if b, err := io.ReadAll(art); err != nil || string(b) != n.fake.blob {
		t.Fatalf("got %d bytes, %v", len(b), err)
	}
	if has, err := c.HasBlob(t.Context(), digest("other")); has || err != nil {
		t.Errorf("HasBlob of another = %v, %v", has, err)
	}
	// The service sends other bytes than it was asked for.
	body, _, err = c.GetBlob(t.Context(), digest("other"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	if _, err := io.ReadAll(body); api.KindOf(err) != api.DigestMismatch {
		t.Errorf("reading other bytes: %v, want %s", err, api.DigestMismatch)
	}
}

func TestRoundTripLists(t *testing.T) {
	n := start(t, nil)
	c := dial(t, api.RoleOperator, n)
	f := api.LeaseFilter{Tenant: "acme", Provider: "aws", Cell: "aws-1", Run: "r-1", State: api.LeaseActive, All: true}
	list, err := c.ListLeases(t.Context(), f, api.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if list.LastContactMs == nil {
		t.Error("the age of the leases is lost")
	}
	if len(list.Leases) != 6 || list.NextPage != "" || n.fake.count("ListLeases") != 3 {
		t.Errorf("got %d leases in %d pages, next %q; want 6 in 3 and none", len(list.Leases), n.fake.count("ListLeases"), list.NextPage)
	}
	f.Page = "three"
	if diff := cmp.Diff([]any{f, api.ReadOptions{}}, n.fake.last().Args); diff != "" {
		t.Error(diff)
	}
	f.Page, f.Limit = "", 2
	if list, err = c.ListLeases(t.Context(), f, api.ReadOptions{}); err != nil || len(list.Leases) != 2 || list.NextPage != "two" {
		t.Errorf("limited: %d leases, next %q, %v", len(list.Leases), list.NextPage, err)
	}
	rf := api.RunFilter{Tenant: "acme", Provider: "aws", Cell: "aws-1", State: api.RunLost, Limit: 9}
	if runs, err := c.ListRuns(t.Context(), rf, api.ReadOptions{}); err != nil || runs.LastContactMs == nil {
		t.Fatal(runs, err)
	}
	if diff := cmp.Diff([]any{rf, api.ReadOptions{}}, n.fake.last().Args); diff != "" {
		t.Error(diff)
	}
	page, err := c.AuditRecords(t.Context(), api.AuditFilter{From: 5, To: 9, Kind: "k", Identity: "i"}, api.ReadOptions{})
	if err != nil || len(page.Records) != 4 || page.Next != 0 || page.LastContactMs == nil {
		t.Errorf("audit: %d records, next %d, %v; want 4 of two pages", len(page.Records), page.Next, err)
	}
	if diff := cmp.Diff([]any{api.AuditFilter{From: 6, To: 9, Kind: "k", Identity: "i"}, api.ReadOptions{}}, n.fake.last().Args); diff != "" {
		t.Error(diff)
	}
}

func TestRoundTripPeers(t *testing.T) {
	n := start(t, nil)
	n.fake.blob = "replica"
	p, err := client.NewPeer(client.Config{URLs: []string{n.url}, TLS: clientTLS(t, api.RoleScheduler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	ctx := t.Context()
	if got, err := p.ReadIndex(ctx); err != nil || *got != filled[api.ReadIndex]() {
		t.Errorf("ReadIndex = %v, %v", got, err)
	}
	if got, err := p.Member(ctx); err != nil || !cmp.Equal(*got, filled[api.MemberState]()) {
		t.Errorf("Member = %v, %v", got, err)
	}
	if err := p.Dismiss(ctx, api.Dismissal{Actor: "operator/alice", Reason: "why"}); err != nil || n.fake.last().Call != "Dismiss" {
		t.Errorf("Dismiss: %v", err)
	}
	if got, err := p.Sightings(ctx); err != nil || !cmp.Equal(*got, filled[api.SightingTable]()) {
		t.Errorf("Sightings = %v, %v", got, err)
	}
	r := filledReport()
	if got, err := p.TakeReport(ctx, "aws", "aws-1", r); err != nil || !cmp.Equal(*got, filled[api.ReportAnswer]()) {
		t.Errorf("TakeReport = %v, %v", got, err)
	}
	if diff := cmp.Diff([]any{api.ProviderID("aws"), api.CellID("aws-1"), r}, n.fake.last().Args); diff != "" {
		t.Error(diff)
	}
	if err := p.AskCell(ctx, "aws-1", filled[api.Ask]()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]any{api.CellID("aws-1"), filled[api.Ask]()}, n.fake.last().Args); diff != "" {
		t.Error(diff)
	}
	if err := p.PutReplica(ctx, digest("replica"), 7, strings.NewReader("replica")); err != nil {
		t.Error(err)
	}
	if err := p.ReferBlob(ctx, "acme", digest("replica"), 7); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]any{api.TenantID("acme"), digest("replica"), int64(7)}, n.fake.last().Args); diff != "" {
		t.Error(diff)
	}
	f := filled[api.AuditFilter]()
	if got, err := p.AuditReplica(ctx, f); err != nil || !cmp.Equal(*got, filled[api.AuditPage]()) {
		t.Errorf("AuditReplica = %v, %v", got, err)
	}
	if diff := cmp.Diff([]any{f}, n.fake.last().Args); diff != "" {
		t.Error(diff)
	}
	body, size, err := p.GetReplica(ctx, digest("replica"))
	if err != nil || size != 7 {
		t.Fatal(size, err)
	}
	defer func() { _ = body.Close() }()
	if b, err := io.ReadAll(body); err != nil || string(b) != "replica" {
		t.Errorf("%q, %v", b, err)
	}
}
