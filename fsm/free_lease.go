package fsm

import "github.com/grafos/grafos/api"

// FreeLease is a command.
type FreeLease struct {
	Actor  string      `json:"actor"`
	Idem   Idem        `json:"idem"`
	Lease  api.LeaseID `json:"lease_id"`
	Reason string      `json:"reason,omitempty"`
}

// Kind returns KindFreeLease.
func (FreeLease) Kind() Kind { return KindFreeLease }

func (c FreeLease) apply(*State) (Result, *api.Error) { return Result{}, nil }
