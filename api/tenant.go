package api

import "time"

// Quota limits a tenant's non-terminal leases. A limit of Unlimited is no limit.
type Quota struct {
	CPU    int64 `json:"cpu"`
	Mem    int64 `json:"mem"`
	Block  int64 `json:"block"`
	Net    int64 `json:"net"`
	GPU    int64 `json:"gpu"`
	Leases int64 `json:"leases"`
}

// Unlimited is the quota that does not limit.
const Unlimited = -1

// NoQuota limits nothing.
func NoQuota() Quota {
	return Quota{Unlimited, Unlimited, Unlimited, Unlimited, Unlimited, Unlimited}
}

// Limit returns the limit of one kind.
func (q Quota) Limit(k LeaseKind) int64 {
	switch k {
	case KindCPU:
		return q.CPU
	case KindMem:
		return q.Mem
	case KindBlock:
		return q.Block
	case KindNet:
		return q.Net
	case KindGPU:
		return q.GPU
	}
	return Unlimited
}

// Exceeded returns the first limit that asking for ask in n leases on top of used and
// inUse leases would pass, or nil. It is the one quota function: the planner decides with
// it and the state machine guards with it.
func (q Quota) Exceeded(used Resources, inUse int64, ask Resources, n int64) *Shortage {
	for _, k := range LeaseKinds() {
		limit := q.Limit(k)
		if limit != Unlimited && ask.Get(k) > 0 && used.Get(k)+ask.Get(k) > limit {
			return &Shortage{Resource: string(k), Limit: limit, InUse: used.Get(k), Asked: ask.Get(k)}
		}
	}
	if q.Leases != Unlimited && inUse+n > q.Leases {
		return &Shortage{Resource: "leases", Limit: q.Leases, InUse: inUse, Asked: n}
	}
	return nil
}

// Check refuses a limit that is neither Unlimited nor from 0 to MaxAmount.
func (q Quota) Check() error {
	for _, k := range LeaseKinds() {
		if n := q.Limit(k); n < Unlimited || n > MaxAmount {
			return Refuse(InvalidArgument, "quota %s is %d: it must be -1 (no limit) or from 0 to %d", k, n, int64(MaxAmount))
		}
	}
	if q.Leases < Unlimited || q.Leases > MaxAmount {
		return Refuse(InvalidArgument, "quota leases is %d: it must be -1 (no limit) or 0 and more", q.Leases)
	}
	return nil
}

// Tenant is who pays and who is limited. It is the stored record.
type Tenant struct {
	ID    TenantID `json:"tenant"`
	Quota Quota    `json:"quota"`
	// Held is what the tenant already held of what its quota was lowered below, in those
	// dimensions. It only ever shrinks, and no grant counts on it (L2).
	Held      Quota     `json:"held,omitzero"`
	CreatedAt time.Time `json:"created_at"`
	Modified  uint64    `json:"modified_index"`
}

// TenantUsage is a tenant with what it holds.
type TenantUsage struct {
	Tenant
	Used   Resources `json:"used"`
	Leases int64     `json:"leases"`
}

// TenantList answers admin list-tenants.
type TenantList struct {
	Index   uint64        `json:"index"`
	Tenants []TenantUsage `json:"tenants"`
	Freshness
}

// TenantAnswer answers create, set-quota and delete.
type TenantAnswer struct {
	Index  uint64      `json:"index"`
	Tenant TenantUsage `json:"tenant"`
}
