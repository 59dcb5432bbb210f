package fsm

import "github.com/grafos/grafos/api"

// ReferBlob is a command.
type ReferBlob struct {
	Tenant api.TenantID `json:"tenant"`
	Digest api.Digest   `json:"digest"`
	Size   int64        `json:"size"`
}

// Kind returns KindReferBlob.
func (ReferBlob) Kind() Kind { return KindReferBlob }

func (c ReferBlob) apply(*State) (Result, *api.Error) { return Result{}, nil }
