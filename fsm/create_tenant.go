package fsm

import "github.com/grafos/grafos/api"

// CreateTenant is a command.
type CreateTenant struct {
	Actor  string       `json:"actor"`
	Idem   Idem         `json:"idem"`
	Tenant api.TenantID `json:"tenant"`
	Quota  api.Quota    `json:"quota"`
}

// Kind returns KindCreateTenant.
func (CreateTenant) Kind() Kind { return KindCreateTenant }

func (c CreateTenant) apply(*State) (Result, *api.Error) { return Result{}, nil }
