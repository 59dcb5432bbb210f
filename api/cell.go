package api

import (
	"slices"
	"time"
)

// Requirement is one of the six things that make a cell ready.
type Requirement string

// The six requirements, in the order in which they are shown.
const (
	ReqCodeEnabled        Requirement = "code_enabled"
	ReqDurableRecord      Requirement = "durable_provider_cell_record"
	ReqIdentityBound      Requirement = "identity_bound"
	ReqHealthyCell        Requirement = "healthy_cell"
	ReqInventoryReported  Requirement = "inventory_reported"
	ReqOutboundRegistered Requirement = "outbound_registered"
)

// Requirements lists the six.
func Requirements() []Requirement {
	return []Requirement{
		ReqCodeEnabled, ReqDurableRecord, ReqIdentityBound,
		ReqHealthyCell, ReqInventoryReported, ReqOutboundRegistered,
	}
}

// Readiness says of each requirement whether it is met.
type Readiness struct {
	CodeEnabled        bool `json:"code_enabled"`
	DurableRecord      bool `json:"durable_provider_cell_record"`
	IdentityBound      bool `json:"identity_bound"`
	HealthyCell        bool `json:"healthy_cell"`
	InventoryReported  bool `json:"inventory_reported"`
	OutboundRegistered bool `json:"outbound_registered"`
}

// Ready reports whether all six are met.
func (r Readiness) Ready() bool {
	return r.CodeEnabled && r.DurableRecord && r.IdentityBound && r.HealthyCell && r.InventoryReported && r.OutboundRegistered
}

// Met returns the value of one requirement.
func (r Readiness) Met(q Requirement) bool {
	switch q {
	case ReqCodeEnabled:
		return r.CodeEnabled
	case ReqDurableRecord:
		return r.DurableRecord
	case ReqIdentityBound:
		return r.IdentityBound
	case ReqHealthyCell:
		return r.HealthyCell
	case ReqInventoryReported:
		return r.InventoryReported
	case ReqOutboundRegistered:
		return r.OutboundRegistered
	}
	return false
}

// Unmet lists what is not met, in order.
func (r Readiness) Unmet() []Requirement {
	var unmet []Requirement
	for _, q := range Requirements() {
		if !r.Met(q) {
			unmet = append(unmet, q)
		}
	}
	return unmet
}

// Reason explains a requirement that is not met.
type Reason struct {
	Requirement Requirement `json:"requirement"`
	Code        string      `json:"code"`
	Message     string      `json:"message"`
	Since       time.Time   `json:"since"`
	Hint        string      `json:"hint"`
}

// Condition is the committed value of a requirement that the leader observes: identity,
// health, outbound session. Only transitions are committed.
type Condition struct {
	Met     bool      `json:"met"`
	Code    string    `json:"code,omitempty"`
	Message string    `json:"message,omitempty"`
	Since   time.Time `json:"since"`
}

// Stamp is a point on a cell's own clock: CLOCK_BOOTTIME nanoseconds in the boot that
// boot_id names. Two stamps compare only within one boot.
type Stamp struct {
	BootID   string `json:"boot_id"`
	BootTime int64  `json:"boottime_ns"`
}

// Identity is what a cell's certificate says, as the state machine keeps it.
type Identity struct {
	SPKI     string `json:"spki"`      // hex SHA-256 of the certificate's public key
	Serial   string `json:"serial"`    // hex serial number
	NotAfter int64  `json:"not_after"` // Unix seconds
}

// IdentityOverlap is for how long the key before a renewal is still taken.
const IdentityOverlap = 5 * time.Minute

// Keys lists every key that the record knows of.
func (c *CellRecord) Keys() []string {
	keys := make([]string, 0, len(c.BarredKeys)+3)
	for _, key := range append([]string{c.Identity.SPKI, c.Next.SPKI, c.Previous.SPKI}, c.BarredKeys...) {
		if key != "" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// GPU is one device of an inventory.
type GPU struct {
	Model      string `json:"model"`
	Generation string `json:"generation,omitempty"`
	VRAM       int64  `json:"vram"`
	Address    string `json:"address,omitempty"`
}

// Inventory is what a cell has, of its hardware or as its operator says: whole cores, bytes, bits per second.
type Inventory struct {
	TotalCPU   int64             `json:"total_cpu"`
	TotalMem   int64             `json:"total_mem"`
	TotalBlock int64             `json:"total_block"`
	NICCount   int               `json:"nic_count"`
	TotalNet   int64             `json:"total_net"`
	GPUCount   int               `json:"gpu_count"`
	GPUs       []GPU             `json:"gpus"`
	NUMANodes  int               `json:"numa_nodes,omitempty"`
	Zone       string            `json:"zone,omitempty"`
	Rack       string            `json:"rack,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	// Isolation says which walls the cell can put round a worker, strongest first.
	Isolation []string `json:"isolation,omitempty"`
	// Overcommit lists what the cell's operator has it offer beyond its hardware.
	Overcommit []LeaseKind `json:"overcommit,omitempty"`
}

// CellMode is what an operator made of a cell.
type CellMode string

// The modes. Accepting takes work; the others do not.
const (
	ModeAccepting   CellMode = "accepting"
	ModeDraining    CellMode = "draining"
	ModeDrained     CellMode = "drained"
	ModeMaintenance CellMode = "maintenance"
	// ModeReturning is on the way back: it takes work when it has been steady for the warm-up.
	ModeReturning CellMode = "returning"
)

// Takes reports whether a cell in the mode takes work. A record of before there were modes has none.
func (m CellMode) Takes() bool { return m == "" || m == ModeAccepting }

// CanBecome is the transition table of the modes:
//
//	accepting -> draining -> drained | maintenance -> returning -> accepting
//	drained <-> maintenance, draining -> returning, returning -> draining
func (m CellMode) CanBecome(next CellMode) bool {
	switch m {
	case "", ModeAccepting:
		return next == ModeDraining
	case ModeDraining:
		return next == ModeDrained || next == ModeMaintenance || next == ModeReturning
	case ModeDrained:
		return next == ModeMaintenance || next == ModeReturning
	case ModeMaintenance:
		return next == ModeDrained || next == ModeReturning
	case ModeReturning:
		return next == ModeAccepting || next == ModeDraining
	}
	return false
}

// CellRecord is the stored record of a cell.
type CellRecord struct {
	ID       CellID     `json:"cell_id"`
	Provider ProviderID `json:"provider"`
	Mode     CellMode   `json:"mode"`

	// DrainTo is what a draining cell becomes when its last lease has ended, ModeAt when it came to
	// its mode, and ModeReason why.
	DrainTo    CellMode `json:"drain_to,omitempty"`
	ModeAt     Tick     `json:"mode_at,omitempty"`
	ModeReason string   `json:"mode_reason,omitempty"`

	// Revoking is set in the first phase of a revocation, while leases drain; Revoked in
	// the second, for ever.
	Revoking bool `json:"revoking,omitempty"`
	Revoked  bool `json:"revoked,omitempty"`
	// ForceAt is when the leases that still drain are forced down.
	ForceAt Tick `json:"force_at,omitempty"`

	// Identity is whose key speaks for the cell. Next is one that takes its place when it first
	// registers: a renewed certificate's, or that of a host which was bootstrapped anew. Previous is
	// the one before, taken until PreviousUntil for what is under way.
	Identity      Identity `json:"identity"`
	Next          Identity `json:"next_identity,omitzero"`
	Previous      Identity `json:"previous_identity,omitzero"`
	PreviousUntil Tick     `json:"previous_until,omitempty"`
	// BoundIn is the cluster epoch in which the cell was bound to Identity.
	BoundIn uint64 `json:"bound_in,omitempty"`
	// Attestation is what the cloud of the cell's host proved when the key that it has, or was renewed
	// from, was bootstrapped.
	Attestation Evidence `json:"attestation,omitzero"`
	// BarredKeys are further keys of a revoked cell: those that it had in a state that was lost.
	BarredKeys []string `json:"barred_keys,omitempty"`
	// Epoch is bumped by every registration: by every start of the agent.
	Epoch uint64 `json:"cell_epoch"`
	// Agent names the agent process of this epoch.
	Agent     string    `json:"agent,omitempty"`
	BrokerKey string    `json:"broker_key,omitempty"` // hex Ed25519 public key of the CapBroker
	DataURL   string    `json:"data_url,omitempty"`   // data plane
	Version   string    `json:"version,omitempty"`
	Inventory Inventory `json:"inventory"`
	Capacity  Resources `json:"capacity"`
	Reported  bool      `json:"inventory_reported"`
	// Production is an operator's mark: only what passed the conformance suite may take leases.
	Production bool `json:"production,omitempty"`
	// Suite is the newest result of the suite.
	Suite ConformanceRecord `json:"suite,omitzero"`
	// Held is what leases of an earlier, larger inventory still take beyond Capacity, in the
	// dimensions where they do. It only ever shrinks, and no grant counts on it (L1).
	Held Resources `json:"held,omitzero"`
	// ReportedAt, RegisteredAt and CreatedAt are for display.
	ReportedAt   time.Time `json:"reported_at,omitzero"`
	RegisteredAt time.Time `json:"registered_at,omitzero"`
	CreatedAt    time.Time `json:"created_at"`

	IdentityBound Condition `json:"identity_bound"`
	Healthy       Condition `json:"healthy_cell"`
	Outbound      Condition `json:"outbound_registered"`

	Modified uint64 `json:"modified_index"`
}

// Cell is a cell as it is shown: its record, its readiness with the reasons, and what is
// free on it.
type Cell struct {
	CellID      CellID     `json:"cell_id"`
	Provider    ProviderID `json:"provider"`
	State       CellState  `json:"state"`
	Ready       bool       `json:"ready"`
	Mode        CellMode   `json:"mode"`
	Readiness   Readiness  `json:"readiness"`
	Reasons     []Reason   `json:"reasons"`
	Inventory   Inventory  `json:"inventory"`
	Capacity    Resources  `json:"capacity"`
	Free        Resources  `json:"free"`
	Leases      int        `json:"leases"`
	LastSeen    time.Time  `json:"last_seen,omitzero"`
	Conformance string     `json:"conformance"`
	// Suite is the newest result of the conformance suite, also one that the agent of now has to pass
	// again. Production is that the cell, or its provider, is marked so.
	Suite      *ConformanceRecord `json:"suite,omitempty"`
	Production bool               `json:"production,omitempty"`
	Epoch      uint64             `json:"cell_epoch"`
	SPIFFEID   string             `json:"spiffe_id,omitempty"`
	NotAfter   time.Time          `json:"not_after,omitzero"`
	Version    string             `json:"version,omitempty"`
	DataURL    string             `json:"data_url,omitempty"`
	// Attestation is what the cloud of its host proved when it was bootstrapped; nothing is nothing.
	Attestation *Evidence `json:"attestation,omitempty"`
	Session     NodeID    `json:"session,omitempty"` // the scheduler that holds its session, where known
	Modified    uint64    `json:"modified_index"`
}

// CellList answers fabric cells.
type CellList struct {
	Index uint64 `json:"index"`
	Cells []Cell `json:"cells"`
	Freshness
}

// RevokeCellRequest takes a cell out for good: drained with grace first, or, with Now,
// barred first.
type RevokeCellRequest struct {
	GraceMs int64 `json:"grace_ms"`
	Now     bool  `json:"now,omitempty"`
}
