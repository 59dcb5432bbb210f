package fsm

import (
	"encoding/json"
	"fmt"
	"strconv"

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
	Granted    api.Tick       `json:"granted_tick"`
	At         api.Tick       `json:"at_tick"`
}

func (s *State) leaseFact(l api.Lease) leaseFact {
	return leaseFact{
		Lease: l.ID, Run: l.RunID, Tenant: l.Tenant, Provider: l.Provider, Cell: l.CellID, Kind: l.Kind, Amount: l.Amount,
		State: l.State, Generation: l.Generation, Epoch: l.Epoch, Priority: l.Priority, TTLMs: l.TTLMs, Reason: l.Reason,
		Granted: l.Granted, At: s.meta.Now,
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
	b, err := appendFact(s.json[:0], f)
	if err != nil {
		s.fail(fmt.Errorf("encode data of event %s: %w", kind, err))
		return nil
	}
	s.json = b
	raw := append(make(json.RawMessage, 0, len(b)), b...)
	s.record(kind, actor, leaseSubject(*l), raw)
	return raw
}

// appendFact writes the JSON of a fact, byte for byte as encoding/json does: the audit
// chain is made of these bytes, and of leases it is mostly made.
func appendFact(b []byte, f *leaseFact) ([]byte, error) {
	w := factWriter{b: append(b, '{')}
	w.text("lease_id", string(f.Lease))
	w.optional("run_id", string(f.Run))
	w.text("tenant", string(f.Tenant))
	w.text("provider", string(f.Provider))
	w.text("cell_id", string(f.Cell))
	w.text("kind", string(f.Kind))
	w.number("amount", f.Amount)
	w.text("state", string(f.State))
	w.count("generation", f.Generation)
	w.count("epoch", f.Epoch)
	w.text("priority", string(f.Priority))
	w.number("ttl_ms", f.TTLMs)
	w.optional("reason", f.Reason)
	w.optional("comment", f.Comment)
	if f.GraceMs != 0 {
		w.number("grace_ms", f.GraceMs)
	}
	w.number("granted_tick", int64(f.Granted))
	w.number("at_tick", int64(f.At))
	return append(w.b, '}'), w.err
}

// factWriter writes the fields of one JSON object.
type factWriter struct {
	b   []byte
	err error
}

func (w *factWriter) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *factWriter) number(name string, n int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *factWriter) count(name string, n uint64) {
	w.name(name)
	w.b = strconv.AppendUint(w.b, n, 10)
}

func (w *factWriter) optional(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

func (w *factWriter) text(name, s string) {
	w.name(name)
	if plain(s) {
		w.b = append(append(append(w.b, '"'), s...), '"')
		return
	}
	q, err := json.Marshal(s)
	if err != nil {
		w.err = err
	}
	w.b = append(w.b, q...)
}

// plain reports whether a text stands in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}
