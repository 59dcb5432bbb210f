package fsm

import (
	"encoding/json"

	"github.com/grafos/grafos/api"
)

// leaseFact is what events and the audit chain say of a lease: enough to meter it by.
type leaseFact struct {
	Lease      api.LeaseID    `json:"lease_id"`
	Run        api.RunID      `json:"run_id,omitempty"`
	Tenant     api.TenantID   `json:"tenant"`
	Provider   api.ProviderID `json:"provider"`
	Cell       api.CellID     `json:"cell_id"`
	Kind       api.LeaseKind  `json:"kind"`
	Amount     int64          `json:"amount"`
	State      api.LeaseState `json:"state"`
	Generation uint64         `json:"generation"`
	Epoch      uint64         `json:"epoch"`
	Priority   api.Priority   `json:"priority"`
	TTLMs      int64          `json:"ttl_ms"`
	Reason     string         `json:"reason,omitempty"`
	Comment    string         `json:"comment,omitempty"` // of whoever asked
	GraceMs    int64          `json:"grace_ms,omitempty"`
	Holder     string         `json:"holder,omitempty"` // whose key the tokens are for
	Granted    api.Tick       `json:"granted_tick"`
	At         api.Tick       `json:"at_tick"`
}

func (s *State) leaseFact(l *api.Lease) leaseFact {
	return leaseFact{
		Lease: l.ID, Run: l.RunID, Tenant: l.Tenant, Provider: l.Provider, Cell: l.CellID, Kind: l.Kind, Amount: l.Amount,
		State: l.State, Generation: l.Generation, Epoch: l.Epoch, Priority: l.Priority, TTLMs: l.TTLMs, Reason: l.Reason,
		Granted: l.Granted, At: s.meta.Now, Holder: l.Holder,
	}
}

// auditLease records what happened to a lease in the audit chain.
func (s *State) auditLease(kind, actor string, l *api.Lease, f *leaseFact) {
	if raw := s.eventLease(kind, actor, l, f); raw != nil {
		s.chain(kind, actor, raw)
	}
}

// eventLease records what happened to a lease for those who watch.
func (s *State) eventLease(kind, actor string, l *api.Lease, f *leaseFact) json.RawMessage {
	on := leaseSubject(l)
	w := s.beginFact(kind, actor, &on)
	f.appendTo(&w, &s.ticks)
	return s.endFact(kind, &w)
}

// leaseTicks are the texts of the ticks of the fact before: what is done together has them in common.
type leaseTicks struct{ granted, at tickText }

func (f *leaseFact) appendTo(w *factWriter, ticks *leaseTicks) {
	w.text(`"lease_id":"`, string(f.Lease))
	w.optional(`,"run_id":"`, string(f.Run))
	w.text(`,"tenant":"`, string(f.Tenant))
	w.text(`,"provider":"`, string(f.Provider))
	w.text(`,"cell_id":"`, string(f.Cell))
	w.text(`,"kind":"`, string(f.Kind))
	w.number(`,"amount":`, f.Amount)
	w.text(`,"state":"`, string(f.State))
	w.count(`,"generation":`, f.Generation)
	w.count(`,"epoch":`, f.Epoch)
	w.text(`,"priority":"`, string(f.Priority))
	w.number(`,"ttl_ms":`, f.TTLMs)
	w.optional(`,"reason":"`, f.Reason)
	w.optional(`,"comment":"`, f.Comment)
	if f.GraceMs != 0 {
		w.number(`,"grace_ms":`, f.GraceMs)
	}
	w.optional(`,"holder":"`, f.Holder)
	w.tick(`,"granted_tick":`, f.Granted, &ticks.granted)
	w.tick(`,"at_tick":`, f.At, &ticks.at)
}
