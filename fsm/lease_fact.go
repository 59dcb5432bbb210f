package fsm

import (
	"encoding/json"

	"github.com/grafos/grafos/api"
)

// leaseFact is an api.LeaseEvent that is written by hand.
type leaseFact api.LeaseEvent

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
	if f.Terms != nil {
		w.object(`,"terms":`, f.Terms)
	}
	w.tick(`,"granted_tick":`, f.Granted, &ticks.granted)
	w.tick(`,"at_tick":`, f.At, &ticks.at)
}
