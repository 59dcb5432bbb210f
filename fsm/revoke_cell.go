package fsm

import "github.com/grafos/grafos/api"

// RevokeCell is a command.
type RevokeCell struct {
	Actor    string         `json:"actor"`
	Idem     Idem           `json:"idem"`
	Provider api.ProviderID `json:"provider"`
	Cell     api.CellID     `json:"cell_id"`
	GraceMs  int64          `json:"grace_ms,omitempty"`
	Now      bool           `json:"now,omitempty"`
	Reason   string         `json:"reason,omitempty"`
}

// Kind returns KindRevokeCell.
func (RevokeCell) Kind() Kind { return KindRevokeCell }

func (c RevokeCell) apply(*State) (Result, *api.Error) { return Result{}, nil }
