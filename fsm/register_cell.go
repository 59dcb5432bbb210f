package fsm

import "github.com/grafos/grafos/api"

// RegisterCell is a command.
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

func (c RegisterCell) apply(*State) (Result, *api.Error) { return Result{}, nil }
