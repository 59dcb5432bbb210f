package api

import (
	"fmt"
	"strings"
)

// Kind is the stable name of a refusal or failure. Programs switch on it; the list is
// closed and only ever appended to.
type Kind string

// The kinds. Admission first, then how a tasklet failed, why a data-plane operation was
// refused, identity, and the rest.
const (
	RuntimeNotReady         Kind = "runtime_not_ready"
	NoEligibleProviderCells Kind = "no_eligible_provider_cells"
	PlacementFailed         Kind = "placement_failed"
	QuotaExceeded           Kind = "quota_exceeded"

	FuelExhausted    Kind = "fuel_exhausted"
	MemoryExceeded   Kind = "memory_exceeded"
	DeadlineExceeded Kind = "deadline_exceeded"
	OutputExceeded   Kind = "output_exceeded"
	Trap             Kind = "trap"
	ExitNonzero      Kind = "exit_nonzero"
	InvalidModule    Kind = "invalid_module"
	WorkerLost       Kind = "worker_lost"

	LeaseExpiredKind Kind = "lease_expired"
	LeaseRevoked     Kind = "lease_revoked"
	LeaseFencedKind  Kind = "lease_fenced"
	StaleGeneration  Kind = "stale_generation"
	StaleEpoch       Kind = "stale_epoch"
	WrongAudience    Kind = "wrong_audience"
	BadSignature     Kind = "bad_signature"
	CaveatFailed     Kind = "caveat_failed"
	TokenExpired     Kind = "token_expired"

	IdentityMismatch      Kind = "identity_mismatch"
	IdentityRevoked       Kind = "identity_revoked"
	BootstrapTokenInvalid Kind = "bootstrap_token_invalid"
	BootstrapTokenUsed    Kind = "bootstrap_token_used"
	// AttestationFailed is the answer to a host that its cloud does not vouch for.
	AttestationFailed Kind = "attestation_failed"
	Unauthenticated   Kind = "unauthenticated"
	Forbidden         Kind = "forbidden"

	TenantHasLeases Kind = "tenant_has_leases"
	Conflict        Kind = "conflict"
	NotFound        Kind = "not_found"
	InvalidArgument Kind = "invalid_argument"
	TooLarge        Kind = "too_large"
	DigestMismatch  Kind = "digest_mismatch"
	BindTimeout     Kind = "bind_timeout"
	Overloaded      Kind = "overloaded"
	NoLeader        Kind = "no_leader"
	OutcomeUnknown  Kind = "outcome_unknown"
	// SchedulerRemoved is the answer of one that is no member any more: another scheduler may
	// still do it, this one never.
	SchedulerRemoved Kind = "scheduler_removed"
	// Internal is a fault of grafOS itself; it never carries a caller's mistake.
	Internal Kind = "internal"
)

// Kinds lists every kind, in the order above.
func Kinds() []Kind {
	return []Kind{
		RuntimeNotReady, NoEligibleProviderCells, PlacementFailed, QuotaExceeded,
		FuelExhausted, MemoryExceeded, DeadlineExceeded, OutputExceeded, Trap, ExitNonzero, InvalidModule, WorkerLost,
		LeaseExpiredKind, LeaseRevoked, LeaseFencedKind, StaleGeneration, StaleEpoch, WrongAudience, BadSignature, CaveatFailed, TokenExpired,
		IdentityMismatch, IdentityRevoked, BootstrapTokenInvalid, BootstrapTokenUsed, AttestationFailed, Unauthenticated, Forbidden,
		TenantHasLeases, Conflict, NotFound, InvalidArgument, TooLarge, DigestMismatch, BindTimeout, Overloaded, NoLeader, OutcomeUnknown,
		SchedulerRemoved, Internal,
	}
}

// Status returns the HTTP status that carries the kind.
func (k Kind) Status() int {
	switch k {
	case RuntimeNotReady, NoEligibleProviderCells, PlacementFailed, QuotaExceeded, TenantHasLeases, Conflict, SchedulerRemoved:
		return 409
	case FuelExhausted, MemoryExceeded, DeadlineExceeded, OutputExceeded, Trap, ExitNonzero, InvalidModule,
		InvalidArgument, TooLarge, DigestMismatch:
		return 422
	case Unauthenticated:
		return 401
	case LeaseExpiredKind, LeaseRevoked, LeaseFencedKind, StaleGeneration, StaleEpoch, WrongAudience, BadSignature, CaveatFailed, TokenExpired,
		IdentityMismatch, IdentityRevoked, BootstrapTokenInvalid, BootstrapTokenUsed, AttestationFailed, Forbidden:
		return 403
	case NotFound:
		return 404
	case Overloaded:
		return 429
	case BindTimeout, NoLeader, OutcomeUnknown, WorkerLost:
		return 503
	case Internal:
		return 500
	}
	return 500
}

// Retryable reports whether repeating the same request, with the same idempotency key,
// may succeed without anything else being changed first.
func (k Kind) Retryable() bool {
	switch k {
	case BindTimeout, Overloaded, NoLeader, OutcomeUnknown, WorkerLost:
		return true
	case RuntimeNotReady, NoEligibleProviderCells, PlacementFailed, QuotaExceeded,
		FuelExhausted, MemoryExceeded, DeadlineExceeded, OutputExceeded, Trap, ExitNonzero, InvalidModule,
		LeaseExpiredKind, LeaseRevoked, LeaseFencedKind, StaleGeneration, StaleEpoch, WrongAudience, BadSignature, CaveatFailed, TokenExpired,
		IdentityMismatch, IdentityRevoked, BootstrapTokenInvalid, BootstrapTokenUsed, AttestationFailed, Unauthenticated, Forbidden,
		TenantHasLeases, Conflict, NotFound, InvalidArgument, TooLarge, DigestMismatch, SchedulerRemoved, Internal:
		return false
	}
	return false
}

// Title returns the kind in words: "quota exceeded".
func (k Kind) Title() string { return strings.ReplaceAll(string(k), "_", " ") }

// Reasons of no_eligible_provider_cells.
const (
	ReasonUnready      = "unready"      // healthy cells exist, none meets all six requirements
	ReasonInsufficient = "insufficient" // no ready cell could ever hold the request
	ReasonFull         = "full"         // it would fit when something is given back
)

// Error is the one error type that crosses a hop: an RFC 9457 problem document.
// A program reads Kind, a person reads Detail and Hint.
type Error struct {
	Type         string `json:"type,omitempty"`
	Kind         Kind   `json:"kind"`
	Title        string `json:"title"`
	Status       int    `json:"status"`
	Detail       string `json:"detail"`
	Retryable    bool   `json:"retryable"`
	RetryAfterMs int64  `json:"retry_after_ms,omitempty"`
	// Nonce is what a cell wants the holder's proof to be made with.
	Nonce      string       `json:"nonce,omitempty"`
	Reason     string       `json:"reason,omitempty"`
	Provider   ProviderID   `json:"provider,omitempty"`
	Candidates []Candidate  `json:"candidates,omitempty"`
	Hint       string       `json:"hint,omitempty"`
	RequestID  string       `json:"request_id,omitempty"`
	Index      uint64       `json:"index,omitempty"`
	Errors     []FieldError `json:"errors,omitempty"`
	*Shortage
}

// Shortage is the evidence of quota_exceeded, and of a request that no cell can hold: how
// much of what was asked, how much is in use, and the limit.
type Shortage struct {
	Resource string `json:"resource"`
	Limit    int64  `json:"limit"`
	InUse    int64  `json:"in_use"`
	Asked    int64  `json:"asked"`
}

// FieldError is one fault of a request body: where it is and what is wrong with it.
type FieldError struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

// Refuse makes the problem of a kind; format and args make its detail.
func Refuse(k Kind, format string, args ...any) *Error {
	return &Error{
		Type: "urn:grafos:problem:" + string(k), Kind: k, Title: k.Title(), Status: k.Status(),
		Detail: fmt.Sprintf(format, args...), Retryable: k.Retryable(),
	}
}

// RefuseEnded is the answer to whoever uses a lease that is over; k says how it ended.
func RefuseEnded(k Kind, format string, args ...any) *Error {
	return Refuse(k, format, args...).WithHint("a lease that has ended stays so: request another with: grafos lease request")
}

// RefuseFenced is the answer to whoever uses a lease whose teardown failed; why says how. What was unfenced is
// an ended lease like any other.
func RefuseFenced(l *Lease, why string) *Error {
	if l.Unfenced != 0 {
		return RefuseEnded(LeaseFencedKind, "lease %s was fenced: %s; what it held was given back since", l.ID, why)
	}
	return Refuse(LeaseFencedKind, "lease %s is fenced: %s", l.ID, why).
		WithHint("what could not be torn down is kept from everybody: request another lease; an operator who knows that it is gone gives it back with grafos admin unfence-lease %s", l.ID)
}

// Error returns the detail and, in brackets, the kind.
func (e *Error) Error() string { return e.Detail + " (" + string(e.Kind) + ")" }

// AtIndex returns e with the index of the state that it was decided on.
func (e *Error) AtIndex(index uint64) *Error {
	e.Index = index
	return e
}

// WithHint returns e with what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// KindOf returns the kind of err, Internal when it has none, and "" when err is nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := AsError(err); ok {
		return e.Kind
	}
	return Internal
}
