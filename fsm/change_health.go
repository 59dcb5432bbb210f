package fsm

import "github.com/grafos/grafos/api"

// ChangeHealth is a command.
type ChangeHealth struct {
	Changes []HealthChange `json:"changes"`
}

// HealthChange is what the leader observed of one cell. A condition that is nil stays as it is.
type HealthChange struct {
	Cell          api.CellID     `json:"cell_id"`
	Epoch         uint64         `json:"cell_epoch"`
	IdentityBound *api.Condition `json:"identity_bound,omitempty"`
	Healthy       *api.Condition `json:"healthy_cell,omitempty"`
	Outbound      *api.Condition `json:"outbound_registered,omitempty"`
}

// Kind returns KindChangeHealth.
func (ChangeHealth) Kind() Kind { return KindChangeHealth }

func (c ChangeHealth) apply(*State) (Result, *api.Error) { return Result{}, nil }
