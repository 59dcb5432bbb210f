package fsm

import "github.com/grafos/grafos/api"

// GrantLeases is a command.
type GrantLeases struct {
	Actor     string         `json:"actor"`
	Idem      Idem           `json:"idem"`
	Tenant    api.TenantID   `json:"tenant"`
	Provider  api.ProviderID `json:"provider"`
	Cell      api.CellID     `json:"cell_id"`
	CellEpoch uint64         `json:"cell_epoch"`
	Priority  api.Priority   `json:"priority"`
	TTLMs     int64          `json:"ttl_ms"`
	Stamp     api.Stamp      `json:"stamp"`
	Items     []GrantItem    `json:"items"`
	Run       *api.Run       `json:"run,omitempty"`
}

// GrantItem is one lease of a grant.
type GrantItem struct {
	ID     api.LeaseID   `json:"lease_id"`
	Kind   api.LeaseKind `json:"kind"`
	Use    api.Use       `json:"use,omitempty"`
	Amount int64         `json:"amount"`
}

// Kind returns KindGrantLeases.
func (GrantLeases) Kind() Kind { return KindGrantLeases }

func (c GrantLeases) apply(*State) (Result, *api.Error) { return Result{}, nil }
