package fsm

import "github.com/grafos/grafos/api"

// UseToken is a command.
type UseToken struct {
	Actor    string         `json:"actor"`
	JTI      string         `json:"jti"`
	Purpose  string         `json:"purpose"`
	Uses     int            `json:"uses"`
	Expires  int64          `json:"expires"`
	Provider api.ProviderID `json:"provider,omitempty"`
	Cell     api.CellID     `json:"cell_id,omitempty"`
	SPKI     string         `json:"spki,omitempty"`
}

// Kind returns KindUseToken.
func (UseToken) Kind() Kind { return KindUseToken }

func (c UseToken) apply(*State) (Result, *api.Error) { return Result{}, nil }
