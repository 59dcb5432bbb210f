package control

import (
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

func TestAccess(t *testing.T) {
	tests := []struct {
		name  string
		role  api.Role
		who   string
		asked api.TenantID
		act   any // the tenant acted for, or the kind of the refusal
		look  any // the tenant looked at, or the kind
		sees  bool
	}{
		{"tenant", api.RoleTenant, "acme", "", api.TenantID("acme"), api.TenantID("acme"), true},
		{"tenant by name", api.RoleTenant, "acme", "acme", api.TenantID("acme"), api.TenantID("acme"), true},
		{"tenant for another", api.RoleTenant, "acme", "other", api.Forbidden, api.Forbidden, true},
		{"other tenant", api.RoleTenant, "other", "", api.TenantID("other"), api.TenantID("other"), false},
		{"operator for nobody", api.RoleOperator, "root", "", api.InvalidArgument, api.TenantID(""), true},
		{"operator for a tenant", api.RoleOperator, "root", "acme", api.TenantID("acme"), api.TenantID("acme"), true},
		{"operator for no name", api.RoleOperator, "root", "a/b", api.InvalidArgument, api.TenantID("a/b"), true},
		{"viewer", api.RoleViewer, "eve", "acme", api.Forbidden, api.TenantID("acme"), true},
		{"cell", api.RoleCell, "", "acme", api.Forbidden, api.Forbidden, false},
		{"scheduler", api.RoleScheduler, "s1", "acme", api.Forbidden, api.Forbidden, false},
		{"nobody", "", "", "acme", api.Forbidden, api.Forbidden, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := as(t.Context(), tt.role, tt.who)
			for what, is := range map[string]struct{ got, want any }{
				"act":  {orKind(actFor(ctx, tt.asked)), tt.act},
				"look": {orKind(narrow(ctx, tt.asked)), tt.look},
				"sees": {sees(ctx, "acme"), tt.sees},
			} {
				if is.got != is.want {
					t.Errorf("%s: got %v, want %v", what, is.got, is.want)
				}
			}
		})
	}
}

func orKind(t api.TenantID, err error) any {
	if err != nil {
		return api.KindOf(err)
	}
	return t
}

// TestAnotherTenantsThings do not exist, whatever is done to them; who may only look changes
// nothing.
func TestAnotherTenantsThings(t *testing.T) {
	r := newRig(t)
	r.cell("c1")
	res, err := r.Admit(t.Context(), fsm.GrantLeases{
		Actor: "tenant/acme", Tenant: "acme", Provider: "aws", Priority: api.PriorityStandard, TTLMs: 60_000,
		Items: []fsm.GrantItem{{Kind: api.KindCPU, Amount: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := res.Leases[0]
	other, viewer := as(t.Context(), api.RoleTenant, "other"), as(t.Context(), api.RoleViewer, "eve")

	_, err = r.c.ShowLease(other, id, api.ReadOptions{})
	r.wantKind("show", err, api.NotFound)
	_, err = r.c.FreeLease(other, id, api.WriteOptions{})
	r.wantKind("free", err, api.NotFound)
	_, err = r.c.RenewLease(other, id, api.RenewRequest{TTLMs: 1000}, api.WriteOptions{})
	r.wantKind("renew", err, api.NotFound)
	_, err = r.c.LeaseToken(other, id, api.WriteOptions{})
	r.wantKind("token", err, api.NotFound)
	list, err := r.c.ListLeases(other, api.LeaseFilter{}, api.ReadOptions{})
	if err != nil || len(list.Leases) != 0 || list.Leases == nil {
		t.Errorf("list: %+v, %v", list, err)
	}
	tenants, err := r.c.ListTenants(other, api.ReadOptions{})
	if err != nil || len(tenants.Tenants) != 1 || tenants.Tenants[0].ID != "other" {
		t.Errorf("tenants: %+v, %v", tenants, err)
	}

	if _, err := r.c.ShowLease(viewer, id, api.ReadOptions{}); err != nil {
		t.Errorf("viewer looks: %v", err)
	}
	_, err = r.c.FreeLease(viewer, id, api.WriteOptions{})
	r.wantKind("viewer frees", err, api.Forbidden)
	_, err = r.c.RenewLease(viewer, id, api.RenewRequest{TTLMs: 1000}, api.WriteOptions{})
	r.wantKind("viewer renews", err, api.Forbidden)
	_, err = r.c.LeaseToken(viewer, id, api.WriteOptions{})
	r.wantKind("viewer asks for a token", err, api.Forbidden)
	if l := r.lease(id); l.State != api.LeaseActive || l.Generation != 1 {
		t.Errorf("changed: %+v", l)
	}
	if a, err := r.c.FreeLease(r.operator(), id, api.WriteOptions{}); err != nil || a.Lease.State != api.LeaseForcedTeardown {
		t.Errorf("operator frees: %+v, %v", a, err)
	}
}

func TestIdem(t *testing.T) {
	one, err := idem("s", api.WriteOptions{IdempotencyKey: "k"}, "op", cpu(1))
	if err != nil || one.Scope != "s" || one.Key != "k" {
		t.Fatalf("got %+v, %v", one, err)
	}
	same, _ := idem("s", api.WriteOptions{IdempotencyKey: "k"}, "op", cpu(1))
	request, _ := idem("s", api.WriteOptions{IdempotencyKey: "k"}, "op", cpu(2))
	op, _ := idem("s", api.WriteOptions{IdempotencyKey: "k"}, "op2", cpu(1))
	if same != one || request.Hash == one.Hash || op.Hash == one.Hash {
		t.Errorf("hashes %s %s %s %s", one.Hash, same.Hash, request.Hash, op.Hash)
	}
	if none, err := idem("s", api.WriteOptions{}, "op", cpu(1)); err != nil || none != (fsm.Idem{}) {
		t.Errorf("without a key: %+v, %v", none, err)
	}
	if _, err := idem("s", api.WriteOptions{IdempotencyKey: strings.Repeat("k", api.MaxKeyLen+1)}, "op", cpu(1)); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("a long key: %v", err)
	}
}

func TestBatchKey(t *testing.T) {
	if got := batchKey("k", 7); got != "k/7" {
		t.Errorf("got %s", got)
	}
	long := strings.Repeat("k", api.MaxKeyLen)
	if a, b := batchKey(long, 1), batchKey(long, 2); len(a) > api.MaxKeyLen || a == b {
		t.Errorf("got %s and %s", a, b)
	}
}
