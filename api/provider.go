package api

import "time"

// Ownership says who owns a provider's hosts.
type Ownership string

// The two ownerships.
const (
	OwnedByCustomer Ownership = "customer"
	OwnedManaged    Ownership = "managed"
)

// Provider is a named place that hosts cells. It is the stored record.
type Provider struct {
	ID        ProviderID `json:"provider"`
	Enabled   bool       `json:"enabled"`
	Ownership Ownership  `json:"ownership"`
	// Production marks all cells of the provider: see CellRecord.
	Production bool `json:"production,omitempty"`
	// Since is when Enabled last changed; for display.
	Since    time.Time `json:"since,omitzero"`
	Modified uint64    `json:"modified_index"`
}

// ProviderSummary is one line of the provider list.
type ProviderSummary struct {
	Provider         ProviderID       `json:"provider"`
	Enabled          bool             `json:"enabled"`
	Ownership        Ownership        `json:"ownership"`
	Production       bool             `json:"production,omitempty"`
	RuntimeReadiness RuntimeReadiness `json:"runtime_readiness"`
	CellsTotal       int              `json:"cells_total"`
	CellsReady       int              `json:"cells_ready"`
	Leases           int              `json:"leases"`
	Capacity         Resources        `json:"capacity"`
	Free             Resources        `json:"free"`
}

// ProviderList answers provider list.
type ProviderList struct {
	Index     uint64            `json:"index"`
	Providers []ProviderSummary `json:"providers"`
	Freshness
}

// ProviderStatus answers provider status, enable, disable and revoke-cell.
type ProviderStatus struct {
	Index uint64 `json:"index"`
	ProviderSummary
	Cells []Cell `json:"cells"`
	Freshness
}
