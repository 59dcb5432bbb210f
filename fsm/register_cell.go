package fsm

import "github.com/grafos/grafos/api"

// RegisterCell records that an agent speaks for a cell under a verified certificate. The
// scheduler has checked that the certificate names the same provider and cell.
type RegisterCell struct {
	Actor     string         `json:"actor"`
	Provider  api.ProviderID `json:"provider"`
	Cell      api.CellID     `json:"cell_id"`
	Identity  api.Identity   `json:"identity"`
	Agent     string         `json:"agent"`
	BrokerKey string         `json:"broker_key"`
	DataURL   string         `json:"data_url,omitempty"`
	Version   string         `json:"version,omitempty"`
}

// Kind returns KindRegisterCell.
func (RegisterCell) Kind() Kind { return KindRegisterCell }

// apply begins a new cell epoch for a new agent process: it holds nothing of what the one
// before held, so it warms up and reports its inventory afresh. The same agent again keeps
// its epoch. It refuses an unknown provider with not_found, another provider's cell id and another
// key than the cell is bound to with identity_mismatch, and a revoked cell or its key with
// identity_revoked.
func (c RegisterCell) apply(s *State) (Result, *api.Error) {
	if p := c.check(); p != nil {
		return Result{}, p
	}
	if p := first(s.mayJoin(c.Provider, c.Cell), s.mayHold(c.Identity.SPKI)); p != nil {
		return Result{}, p
	}
	cell, known := s.Cell(c.Cell)
	if p := s.mayBind(&cell, c.Identity); p != nil {
		return Result{}, p
	}
	if !known {
		cell = api.CellRecord{ID: c.Cell, Provider: c.Provider, Mode: api.ModeAccepting, CreatedAt: s.Wall()}
	}
	proved := s.attestation(&cell, c.Identity)
	same := known && cell.Agent == c.Agent && cell.BrokerKey == c.BrokerKey
	if same && cell.Identity == c.Identity && cell.DataURL == c.DataURL && cell.Version == c.Version && cell.IdentityBound.Met &&
		proved.Same(cell.Attestation) && (!s.bindsKeys() || cell.BoundIn == s.meta.ClusterEpoch) {
		return Result{CellEpoch: cell.Epoch}, nil
	}
	if !same {
		// After a recovery the state may have forgotten registrations: their numbers are not used
		// again, since an agent of one of them may still be heard.
		cell.Epoch = max(cell.Epoch, s.meta.ClusterEpoch<<32) + 1
		cell.Agent, cell.BrokerKey, cell.RegisteredAt, cell.Reported = c.Agent, c.BrokerKey, s.Wall(), false
		cell.Healthy = api.Condition{Code: CodeWarmingUp, Message: "waiting for steady heartbeats since the agent registered", Since: s.Wall()}
		cell.Outbound = api.Condition{Code: CodeNoSession, Message: "the agent has not opened its session yet", Since: s.Wall()}
	}
	if !cell.IdentityBound.Met {
		cell.IdentityBound = api.Condition{Met: true, Since: s.Wall()}
	}
	s.bind(&cell, c.Identity)
	cell.Attestation = proved
	cell.DataURL, cell.Version = c.DataURL, c.Version
	s.putCell(cell)
	s.audit(auditCellRegistered, c.Actor, subject{Provider: c.Provider, Cell: c.Cell}, cellFact{
		Provider: c.Provider, Cell: c.Cell, Epoch: cell.Epoch, Agent: c.Agent, SPKI: c.Identity.SPKI,
		Attestation: proved,
	})
	return Result{CellEpoch: cell.Epoch}, nil
}

func (c RegisterCell) check() *api.Error {
	return first(
		checkText("actor", c.Actor, maxActor), checkCellName(c.Provider, c.Cell), checkID("agent", c.Agent),
		checkText("spki", c.Identity.SPKI, maxKeyHex), checkText("serial", c.Identity.Serial, maxKeyHex),
		checkText("broker key", c.BrokerKey, maxKeyHex), checkText("data url", c.DataURL, maxURL), checkText("version", c.Version, maxVersion),
	)
}
