package fsm

import "github.com/grafos/grafos/api"

// SetQuota is a command.
type SetQuota struct {
	Actor  string       `json:"actor"`
	Idem   Idem         `json:"idem"`
	Tenant api.TenantID `json:"tenant"`
	Quota  api.Quota    `json:"quota"`
}

// Kind returns KindSetQuota.
func (SetQuota) Kind() Kind { return KindSetQuota }

func (c SetQuota) apply(*State) (Result, *api.Error) { return Result{}, nil }
