package placement

import "github.com/grafos/grafos/api"

// View is what a decision sees: one provider and its cells.
type View struct {
	Provider api.Provider
	// Known says that the provider exists.
	Known bool
	Cells []Cell // in the order of their ids
}

// Cell is one cell as a decision sees it.
type Cell struct {
	ID        api.CellID
	Readiness api.Readiness
	Reasons   []api.Reason
	Mode      api.CellMode
	// Revoking and Revoked are the two phases of a revocation.
	Revoking, Revoked bool
	// Unproven says that it takes no leases before it has passed the conformance suite.
	Unproven bool
	// Failed says that it has not passed it with the agent that it has; else it may not have been tested.
	Failed bool
	// Capacity is what may be leased in all, Free what is not taken; Fenced of what is taken
	// waits for an operator.
	Capacity, Free, Fenced api.Resources
	// GPUs is what leases take of its devices: a request that names a class looks at them.
	GPUs api.GPUUses
	// Leases counts those that have not ended.
	Leases     int
	Zone, Rack string
	// HasStamp says that the leader knows a heartbeat fresh enough to stamp a grant.
	HasStamp bool
}

// Request is what is asked for, with what its tenant holds already.
type Request struct {
	Provider  api.ProviderID
	Tenant    api.TenantID
	Resources api.Resources
	Priority  api.Priority
	// Leases is how many leases the request will take.
	Leases int
	// GPUClass is how the gpus are had, GPUShare what of each, in thousandths; "" is that only their
	// number counts.
	GPUClass api.GPUClass
	GPUShare int64
	Quota    api.Quota
	Used     api.Resources
	InUse    int64
}
