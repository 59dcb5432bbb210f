package fsm

import "github.com/grafos/grafos/api"

// CreateTenant makes a tenant with its quota.
type CreateTenant struct {
	Actor  string       `json:"actor"`
	Idem   Idem         `json:"idem"`
	Tenant api.TenantID `json:"tenant"`
	Quota  api.Quota    `json:"quota"`
}

// Kind returns KindCreateTenant.
func (CreateTenant) Kind() Kind { return KindCreateTenant }

func (c CreateTenant) idem() Idem { return c.Idem }

// apply refuses a tenant that exists with conflict.
func (c CreateTenant) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkName("tenant", string(c.Tenant)), api.Problem(c.Quota.Check())); p != nil {
		return Result{}, p
	}
	if _, ok := s.Tenant(c.Tenant); ok {
		return Result{}, api.Refuse(api.Conflict, "tenant %s exists already", c.Tenant)
	}
	// Fenced and ended leases of a tenant of that name do not count; live ones cannot be.
	s.putTenant(api.Tenant{ID: c.Tenant, Quota: c.Quota, CreatedAt: s.Wall()})
	s.auditTenant(auditTenantCreated, c.Actor, tenantFact{Tenant: c.Tenant, Quota: &c.Quota})
	return Result{}, nil
}
