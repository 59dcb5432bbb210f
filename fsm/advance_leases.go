package fsm

import "github.com/grafos/grafos/api"

// AdvanceLeases is a command.
type AdvanceLeases struct {
	Leases []api.LeaseID `json:"leases"`
}

// Kind returns KindAdvanceLeases.
func (AdvanceLeases) Kind() Kind { return KindAdvanceLeases }

func (c AdvanceLeases) apply(*State) (Result, *api.Error) { return Result{}, nil }
