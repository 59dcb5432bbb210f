package fsm

import "github.com/grafos/grafos/api"

// SetQuota replaces a tenant's quota. One that is lower than what the tenant holds takes
// nothing away: it stops new leases until enough has ended.
type SetQuota struct {
	Actor  string       `json:"actor"`
	Idem   Idem         `json:"idem"`
	Tenant api.TenantID `json:"tenant"`
	Quota  api.Quota    `json:"quota"`
}

// Kind returns KindSetQuota.
func (SetQuota) Kind() Kind { return KindSetQuota }

func (c SetQuota) idem() Idem { return c.Idem }

// apply refuses an unknown tenant with not_found.
func (c SetQuota) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkName("tenant", string(c.Tenant)), api.Problem(c.Quota.Check())); p != nil {
		return Result{}, p
	}
	t, ok := s.Tenant(c.Tenant)
	if !ok {
		return Result{}, api.Refuse(api.NotFound, "tenant %s does not exist", c.Tenant)
	}
	before := t.Quota
	if before == c.Quota {
		return Result{}, nil
	}
	t.Quota, t.Held = c.Quota, s.beyondQuota(t.ID, c.Quota)
	s.putTenant(t)
	s.auditTenant(auditQuotaSet, c.Actor, tenantFact{Tenant: c.Tenant, Quota: &c.Quota, Before: &before})
	return Result{}, nil
}
