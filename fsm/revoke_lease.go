package fsm

import "github.com/grafos/grafos/api"

// RevokeLease is a command.
type RevokeLease struct {
	Actor   string      `json:"actor"`
	Idem    Idem        `json:"idem"`
	Lease   api.LeaseID `json:"lease_id"`
	GraceMs int64       `json:"grace_ms,omitempty"`
	Reason  string      `json:"reason,omitempty"`
}

// Kind returns KindRevokeLease.
func (RevokeLease) Kind() Kind { return KindRevokeLease }

func (c RevokeLease) apply(*State) (Result, *api.Error) { return Result{}, nil }
