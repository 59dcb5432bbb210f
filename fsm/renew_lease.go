package fsm

import "github.com/grafos/grafos/api"

// RenewLease is a command.
type RenewLease struct {
	Actor string      `json:"actor"`
	Idem  Idem        `json:"idem"`
	Lease api.LeaseID `json:"lease_id"`
	TTLMs int64       `json:"ttl_ms"`
	Stamp api.Stamp   `json:"stamp"`
}

// Kind returns KindRenewLease.
func (RenewLease) Kind() Kind { return KindRenewLease }

func (c RenewLease) apply(*State) (Result, *api.Error) { return Result{}, nil }
