package control

import (
	"context"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestMayReach: who may list what for the network of a run.
func TestMayReach(t *testing.T) {
	as := func(role api.Role) context.Context {
		return api.WithCaller(t.Context(), api.Caller{Role: role, Name: "acme"})
	}
	for entry, want := range map[string]struct{ tenant, operator api.Kind }{
		"api.example.com:443": {}, "93.184.216.34:80": {}, "0.0.0.0/0:443": {}, "localhost:80": {},
		"127.0.0.1:80": {tenant: api.Forbidden}, "10.0.0.0/8:80": {tenant: api.Forbidden}, "169.254.169.254:80": {tenant: api.Forbidden}, "[fd00::/8]:1": {tenant: api.Forbidden},
		"nonsense": {api.InvalidArgument, api.InvalidArgument},
	} {
		terms := &api.Terms{Egress: []string{"93.184.216.34:81", entry}}
		if got := api.KindOf(mayReach(as(api.RoleTenant), terms)); got != want.tenant {
			t.Errorf("%s of a tenant: %q, want %q", entry, got, want.tenant)
		}
		if got := api.KindOf(mayReach(as(api.RoleOperator), terms)); got != want.operator {
			t.Errorf("%s of an operator: %q, want %q", entry, got, want.operator)
		}
	}
	if err := mayReach(as(api.RoleTenant), nil); err != nil {
		t.Errorf("no list: %v", err)
	}
}

// TestListWithoutRun: an allow-list of leases without a run is refused, and one that is bad is refused before a run is placed.
func TestListWithoutRun(t *testing.T) {
	r := newRig(t)
	_, err := r.c.RequestLeases(r.acme(), api.LeaseRequest{
		Provider: "aws", Resources: api.Resources{Net: 1000}, TTLMs: 60_000, Terms: &api.Terms{Egress: []string{"93.184.216.34:80"}},
	}, api.WriteOptions{})
	if api.KindOf(err) != api.InvalidArgument {
		t.Errorf("leases: %v", err)
	}
	_, err = r.c.StartRun(r.acme(), api.RunRequest{
		Provider: "aws", Module: api.DigestOf([32]byte{1}), Resources: api.Resources{CPU: 1, Mem: api.MinRunMem, Net: 1000}, TTLMs: 60_000,
		Terms: &api.Terms{Egress: []string{"10.0.0.1:80"}},
	}, api.WriteOptions{})
	if api.KindOf(err) != api.Forbidden {
		t.Errorf("run: %v", err)
	}
}
