package fsm

import "github.com/grafos/grafos/api"

// Tick is a command.
type Tick struct {
}

// Kind returns KindTick.
func (Tick) Kind() Kind { return KindTick }

func (c Tick) apply(*State) (Result, *api.Error) { return Result{}, nil }
