package api

import (
	"encoding/base64"
	"time"
)

// Bounds of a lease's time to live.
const (
	MinTTL = time.Second
	MaxTTL = 24 * time.Hour
)

// The constants of the hand-back rule: when a cell does not confirm, a resource may be
// given again TTL + drift + delivery bound + teardown bound after the grant.
const (
	// DriftPPM is how far, in parts per million of the TTL, two clocks may run apart.
	DriftPPM = 200
	// DeliveryBound is how old the cell's stamp in a grant may be when the cell takes it.
	DeliveryBound = 10 * time.Second
	// TeardownBound is how long a cell may take from a lease's end to its teardown.
	TeardownBound = time.Second
	// BindBound is how long a cell may take from a grant's commit to its binding.
	BindBound = 5 * time.Second
	// MaxTokenLife bounds a capability token, whatever its lease.
	MaxTokenLife = 300 * time.Second
)

// HoldDown returns how long after expiry a cell that cannot be asked may still hold the
// resource: drift of the TTL, delivery bound and teardown bound.
func HoldDown(ttl time.Duration) time.Duration {
	return ttl*DriftPPM/1_000_000 + DeliveryBound + TeardownBound
}

// Use says how a mem lease is used.
type Use string

// The uses of a mem lease: a tasklet's linear memory limit, or a region of its own.
const (
	UseLinear Use = "linear"
	UseRegion Use = "region"
)

// Lease is one resource, for one tenant, until one deadline. It is the stored record and
// has no field for a secret.
type Lease struct {
	ID       LeaseID    `json:"lease_id"`
	RunID    RunID      `json:"run_id,omitempty"`
	Tenant   TenantID   `json:"tenant"`
	Provider ProviderID `json:"provider"`
	CellID   CellID     `json:"cell_id"`
	Kind     LeaseKind  `json:"kind"`
	Use      Use        `json:"use,omitempty"`
	Amount   int64      `json:"amount"`
	State    LeaseState `json:"state"`
	// Generation is bumped by every renewal, and voids the tokens of the one before.
	Generation uint64 `json:"generation"`
	// Epoch is the fencing number: one step per grant, never reused.
	Epoch    uint64   `json:"epoch"`
	Priority Priority `json:"priority"`
	TTLMs    int64    `json:"ttl_ms"`
	// GrantedAt, ExpiresAt, BoundAt and EndedAt are for display; Expires decides.
	GrantedAt time.Time `json:"granted_at"`
	ExpiresAt time.Time `json:"expires_at"`
	BoundAt   time.Time `json:"bound_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// UnfencedAt is when an operator cleared the fence of a lease that ended fenced.
	UnfencedAt time.Time `json:"unfenced_at,omitzero"`
	// BoundGeneration is the newest generation that the cell has confirmed; 0 is none.
	BoundGeneration uint64 `json:"bound_generation,omitempty"`
	Coordinate      string `json:"coordinate,omitempty"`
	// Holder names the key of the only one who may use the lease's tokens: the base64url SHA-256 of
	// its SubjectPublicKeyInfo. "" is that whoever has a token may use it.
	Holder string `json:"holder,omitempty"`
	// Terms is what was asked of the resource beyond its amount, and decided; nil is nothing.
	Terms *Terms `json:"terms,omitempty"`
	// Reason says why the lease ended or is ending: released, expired, revoked, bind_timeout, ...
	Reason string `json:"reason,omitempty"`

	// Granted, Expires and Ended are cluster time.
	Granted Tick `json:"granted_tick"`
	Expires Tick `json:"expires_tick"`
	Ended   Tick `json:"ended_tick,omitempty"`
	// Unfenced is cluster time too; 0 is a fence that stands, or none.
	Unfenced Tick `json:"unfenced_tick,omitempty"`
	// ForceAt is when a lease whose end was announced is forced down; 0 is not announced.
	ForceAt Tick `json:"force_at_tick,omitempty"`
	// Stamp is the cell's newest heartbeat when the grant or renewal was decided.
	Stamp Stamp `json:"stamp"`
	// Modified is the index of the entry that last changed the lease.
	Modified uint64 `json:"modified_index"`
}

// ForcedAt is when a lease whose end was announced is forced down, for display as ExpiresAt is; the zero
// time where nothing was announced, or it ends by itself before.
func (l Lease) ForcedAt() time.Time {
	if l.ForceAt == 0 || l.ForceAt >= l.Expires {
		return time.Time{}
	}
	return l.ExpiresAt.Add(-time.Duration(l.Expires - l.ForceAt))
}

// TTL returns the lease's time to live from its grant or last renewal.
func (l Lease) TTL() time.Duration { return time.Duration(l.TTLMs) * time.Millisecond }

// Same reports whether two leases say the same.
func (l Lease) Same(o Lease) bool {
	terms := l.Terms.Same(o.Terms)
	l.Terms, o.Terms = nil, nil
	return terms && l == o
}

// Occupies reports whether the lease takes capacity on its cell: until it is terminal, and where it
// is fenced until the fence is cleared (L1).
func (l Lease) Occupies() bool { return !l.State.Terminal() || l.Fenced() }

// Fenced reports whether the lease's resource is quarantined: its teardown failed, and nobody has
// cleared the fence.
func (l Lease) Fenced() bool { return l.State == LeaseFenced && l.Unfenced == 0 }

// StoppedBy returns the cluster time by which the cell has stopped on its own, whatever
// it heard: expiry, drift, delivery bound and teardown bound.
func (l Lease) StoppedBy() Tick { return l.Expires + Tick(HoldDown(l.TTL())) }

// Grant is the answer to a grant or renewal: a lease and its capability token. The token
// exists on the cell and in this answer only.
type Grant struct {
	Lease
	Token string `json:"token,omitempty"`
}

// LeaseRequest asks for one lease for every resource that is not zero, all on one cell,
// all or none.
type LeaseRequest struct {
	Provider  ProviderID `json:"provider"`
	Resources Resources  `json:"resources"`
	TTLMs     int64      `json:"ttl_ms"`
	Tenant    TenantID   `json:"tenant,omitempty"`
	Priority  Priority   `json:"priority,omitempty"`
	// Holder names the key that the leases' tokens are for; "" is nobody's.
	Holder string `json:"holder,omitempty"`
	// Terms is what the resources must be beyond their amounts; nil is nothing.
	Terms *Terms `json:"terms,omitempty"`
}

// Check refuses what can be refused without looking at the cluster.
func (r LeaseRequest) Check() error {
	if err := CheckName("provider", string(r.Provider)); err != nil {
		return err
	}
	if err := CheckTTL(r.TTLMs); err != nil {
		return err
	}
	if r.Priority != "" && !r.Priority.Valid() {
		return Refuse(InvalidArgument, "priority %q is not one of guaranteed, standard, scavenger", clip(string(r.Priority), 40))
	}
	if err := CheckHolder(r.Holder); err != nil {
		return err
	}
	if err := r.Terms.Check(r.Resources); err != nil {
		return err
	}
	if r.Terms != nil && r.Terms.GPU != nil && len(r.Terms.GPU.Devices) > 0 {
		return Refuse(InvalidArgument, "the request names devices %v: which gpus a lease has is decided with its cell", r.Terms.GPU.Devices)
	}
	return r.Resources.CheckAsk()
}

// holderSize is the bytes of a key's thumbprint.
const holderSize = 32

// CheckHolder refuses what does not name a holder's key; "" names nobody's.
func CheckHolder(s string) error {
	if s == "" {
		return nil
	}
	// The decoder passes over line breaks: the length tells.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != holderSize || len(s) != base64.RawURLEncoding.EncodedLen(holderSize) {
		return Refuse(InvalidArgument, "holder %q is not the thumbprint of a key: it is the SHA-256 of the public key, 43 characters of base64url", clip(s, 60))
	}
	return nil
}

// CheckTTL refuses a time to live outside 1 s to 24 h.
func CheckTTL(ms int64) error {
	if ms < MinTTL.Milliseconds() || ms > MaxTTL.Milliseconds() {
		return Refuse(InvalidArgument, "ttl is %s: it must be from 1 s to 24 h", FormatMs(ms))
	}
	return nil
}

// GrantSet is the answer to a lease request.
type GrantSet struct {
	Index  uint64  `json:"index"`
	CellID CellID  `json:"cell_id"`
	Leases []Grant `json:"leases"`
}

// LeaseList answers lease list.
type LeaseList struct {
	Index  uint64  `json:"index"`
	Leases []Lease `json:"leases"`
	// NextPage continues the list where it is not empty.
	NextPage string `json:"next_page_token,omitempty"`
	Freshness
}

// LeaseAnswer answers lease show, renew, free, revoke and token.
type LeaseAnswer struct {
	Index uint64 `json:"index"`
	Lease Grant  `json:"lease"`
	Freshness
}

// RenewRequest extends a lease's deadline from now.
type RenewRequest struct {
	TTLMs int64 `json:"ttl_ms"`
}

// RevokeRequest ends a lease against its holder's will.
type RevokeRequest struct {
	GraceMs int64 `json:"grace_ms,omitempty"`
}

// LeaseFilter narrows a list; empty fields do not. Ended leases are left out unless All.
type LeaseFilter struct {
	Tenant   TenantID
	Provider ProviderID
	Cell     CellID
	Run      RunID
	State    LeaseState
	All      bool
	Limit    int
	Page     string
}

// MaxBatch bounds the requests of one batch.
const MaxBatch = 256

// BatchRequest is up to MaxBatch lease requests, each decided and answered on its own.
type BatchRequest struct {
	Requests []BatchItem `json:"requests"`
}

// BatchItem is one request of a batch with an idempotency key of its own.
type BatchItem struct {
	LeaseRequest
	IdempotencyKey string `json:"idempotency_key,omitempty"`
}

// BatchAnswer has an item per request, in their order.
type BatchAnswer struct {
	Index   uint64        `json:"index"`
	Answers []BatchResult `json:"answers"`
}

// BatchResult is a grant or a problem.
type BatchResult struct {
	Grant   *GrantSet `json:"grant,omitempty"`
	Problem *Error    `json:"problem,omitempty"`
	// IdempotencyKey is the key under which the request was decided: its own, or one made of
	// the batch's. Under it the request may be repeated, alone or in another batch.
	IdempotencyKey string `json:"idempotency_key,omitempty"`
}
