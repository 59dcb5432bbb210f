package fsm

import "github.com/grafos/grafos/api"

// DeleteTenant removes a tenant that holds nothing.
type DeleteTenant struct {
	Actor  string       `json:"actor"`
	Idem   Idem         `json:"idem"`
	Tenant api.TenantID `json:"tenant"`
}

// Kind returns KindDeleteTenant.
func (DeleteTenant) Kind() Kind { return KindDeleteTenant }

func (c DeleteTenant) idem() Idem { return c.Idem }

// apply refuses an unknown tenant with not_found, and one with leases or runs that have not
// ended with tenant_has_leases.
func (c DeleteTenant) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkName("tenant", string(c.Tenant))); p != nil {
		return Result{}, p
	}
	if _, ok := s.Tenant(c.Tenant); !ok {
		return Result{}, api.Refuse(api.NotFound, "tenant %s does not exist", c.Tenant)
	}
	if n := s.TenantUsage(c.Tenant).Leases; n > 0 {
		return Result{}, api.Refuse(api.TenantHasLeases, "tenant %s has %s not ended", c.Tenant, unended(n)).
			WithHint("free or revoke them first: grafos lease list --tenant %s", c.Tenant)
	}
	if id, ok := s.liveRun(c.Tenant); ok {
		return Result{}, api.Refuse(api.TenantHasLeases, "run %s of tenant %s waits to be placed again", id, c.Tenant).
			WithHint("wait for it: grafos run show %s", id)
	}
	s.dropTenant(c.Tenant)
	s.auditTenant(auditTenantDeleted, c.Actor, tenantFact{Tenant: c.Tenant})
	return Result{}, nil
}

// liveRun returns a run of the tenant that has no result yet.
func (s *State) liveRun(t api.TenantID) (id string, ok bool) {
	s.runs.tenant.Ascend(liveKey{owner: string(t)}, func(k liveKey, _ struct{}) bool {
		if k.owner == string(t) && !k.ended {
			id, ok = k.id, true
		}
		return false
	})
	return id, ok
}

// unended says how many leases there still are.
func unended(n int64) string {
	if n == 1 {
		return "1 lease that has"
	}
	return api.Count(n, "lease") + " that have"
}
