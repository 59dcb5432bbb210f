package fsm

import "github.com/grafos/grafos/api"

// tenantFact is what the audit chain says of a tenant's change.
type tenantFact struct {
	Tenant api.TenantID `json:"tenant"`
	Quota  *api.Quota   `json:"quota,omitempty"`
	Before *api.Quota   `json:"quota_before,omitempty"`
}

// auditTenant records a tenant's change in the audit chain.
func (s *State) auditTenant(kind, actor string, f tenantFact) {
	w := s.beginFact(kind, actor, &subject{Tenant: f.Tenant})
	f.appendTo(&w)
	if raw := s.endFact(kind, &w); raw != nil {
		s.chain(kind, actor, raw)
	}
}

func (f *tenantFact) appendTo(w *factWriter) {
	w.text(`"tenant":"`, string(f.Tenant))
	w.quota(`,"quota":{`, f.Quota)
	w.quota(`,"quota_before":{`, f.Before)
}

// quota writes a quota, nothing where there is none.
func (w *factWriter) quota(name string, q *api.Quota) {
	if q == nil {
		return
	}
	w.b = append(w.b, name...)
	w.number(`"cpu":`, q.CPU)
	w.number(`,"mem":`, q.Mem)
	w.number(`,"block":`, q.Block)
	w.number(`,"net":`, q.Net)
	w.number(`,"gpu":`, q.GPU)
	w.number(`,"leases":`, q.Leases)
	w.b = append(w.b, '}')
}
