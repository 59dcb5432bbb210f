package fsm

import "github.com/grafos/grafos/api"

// DeleteTenant is a command.
type DeleteTenant struct {
	Actor  string       `json:"actor"`
	Idem   Idem         `json:"idem"`
	Tenant api.TenantID `json:"tenant"`
}

// Kind returns KindDeleteTenant.
func (DeleteTenant) Kind() Kind { return KindDeleteTenant }

func (c DeleteTenant) apply(*State) (Result, *api.Error) { return Result{}, nil }
