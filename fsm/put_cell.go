package fsm

import "github.com/grafos/grafos/api"

// cellFact is what the audit chain says of a cell's change.
type cellFact struct {
	Provider api.ProviderID    `json:"provider"`
	Cell     api.CellID        `json:"cell_id"`
	Epoch    uint64            `json:"cell_epoch"`
	Unmet    []api.Requirement `json:"unmet,omitempty"`
	Why      []string          `json:"why,omitempty"`
	Agent    string            `json:"agent,omitempty"`
	SPKI     string            `json:"spki,omitempty"`
	GraceMs  int64             `json:"grace_ms,omitempty"`
	Leases   int               `json:"leases,omitempty"`
	Reason   string            `json:"reason,omitempty"`

	Attestation api.Evidence `json:"attestation,omitzero"`
}

// putCell stores a cell's record, and says so when that made the cell ready or unready.
func (s *State) putCell(c api.CellRecord) {
	old, had := s.cells.Get(c.ID)
	c.Modified = s.meta.Index
	before, _ := s.Readiness(old)
	s.setCell(c, old, had)

	after, reasons := s.Readiness(c)
	if before.Ready() == after.Ready() {
		return
	}
	fact := cellFact{Provider: c.Provider, Cell: c.ID, Epoch: c.Epoch, Unmet: after.Unmet()}
	kind := auditCellReady
	for _, r := range reasons {
		kind = auditCellUnready
		fact.Why = append(fact.Why, r.Code+": "+r.Message)
	}
	s.audit(kind, scheduler, subject{Provider: c.Provider, Cell: c.ID}, fact)
}

// shrinkHeld lowers what a cell's leases hold beyond its capacity to what they hold now (I1).
func (s *State) shrinkHeld(id api.CellID) {
	at, ok := s.cells.at(id)
	if !ok || at.Held.IsZero() {
		return
	}
	c := *at
	if held := beyond(c.Capacity, s.Used(id)); held != c.Held {
		c.Held = held
		s.putCell(c)
	}
}

// beyond returns used in the dimensions where it is over capacity, zero elsewhere.
func beyond(capacity, used api.Resources) api.Resources {
	var held api.Resources
	for _, k := range capacity.Short(used) {
		held = held.With(k, used.Get(k))
	}
	return held
}

// shrinkQuotaHeld lowers what a tenant holds beyond its quota to what it holds now (I2).
func (s *State) shrinkQuotaHeld(id api.TenantID) {
	at, ok := s.tenants.at(id)
	if !ok || at.Held == (api.Quota{}) {
		return
	}
	t := *at
	if held := s.beyondQuota(id, t.Quota); held != t.Held {
		t.Held = held
		s.putTenant(t)
	}
}

// beyondQuota returns what a tenant holds in the dimensions where that is over q.
func (s *State) beyondQuota(id api.TenantID, q api.Quota) api.Quota {
	use := s.leases.heldBy(id)
	over := func(used, limit int64) int64 {
		if limit != api.Unlimited && used > limit {
			return used
		}
		return 0
	}
	return api.Quota{
		CPU: over(use.used.CPU, q.CPU), Mem: over(use.used.Mem, q.Mem), Block: over(use.used.Block, q.Block),
		Net: over(use.used.Net, q.Net), GPU: over(use.used.GPU, q.GPU), Leases: over(int64(use.open.Len()), q.Leases),
	}
}
