package fsm

import "github.com/grafos/grafos/api"

// BarCell is a command.
type BarCell struct {
	Provider api.ProviderID `json:"provider"`
	Cell     api.CellID     `json:"cell_id"`
}

// Kind returns KindBarCell.
func (BarCell) Kind() Kind { return KindBarCell }

func (c BarCell) apply(*State) (Result, *api.Error) { return Result{}, nil }
