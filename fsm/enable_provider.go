package fsm

import "github.com/grafos/grafos/api"

// EnableProvider is a command.
type EnableProvider struct {
	Actor    string         `json:"actor"`
	Idem     Idem           `json:"idem"`
	Provider api.ProviderID `json:"provider"`
	On       bool           `json:"on"`
	Reason   string         `json:"reason,omitempty"`
}

// Kind returns KindEnableProvider.
func (EnableProvider) Kind() Kind { return KindEnableProvider }

func (c EnableProvider) apply(*State) (Result, *api.Error) { return Result{}, nil }
