package ui

import (
	"errors"

	"github.com/grafos/grafos/api"
)

// The exit codes, the same for every command.
const (
	ExitOK           = 0
	ExitFailure      = 1 // it failed, or what was asked about is unhealthy
	ExitUsage        = 2 // a bad flag or argument, an ambiguous id, a question with nobody to answer it
	ExitRefused      = 4 // a typed refusal of admission
	ExitNotFound     = 5
	ExitUnauthorised = 6
	ExitConflict     = 7
	ExitUnavailable  = 8 // unreachable, no leader or timeout: repeat it
)

// ExitError is an error with an exit code of its own. A nil Err exits without a word: the
// document on standard output has said it.
type ExitError struct {
	Code int
	Err  error
}

// Error returns the message of Err.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return "failed"
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

// Silent ends a command with a code and without a message.
func Silent(code int) error { return &ExitError{Code: code} }

// ExitCode returns the exit code of err; 0 for nil.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if e, ok := errors.AsType[*ExitError](err); ok {
		return e.Code
	}
	return KindExit(api.Problem(err).Kind)
}

// KindExit is the one place where a kind becomes an exit code.
func KindExit(k api.Kind) int {
	switch k {
	case api.RuntimeNotReady, api.NoEligibleProviderCells, api.PlacementFailed, api.QuotaExceeded:
		return ExitRefused
	case api.InvalidArgument, api.TooLarge, api.DigestMismatch:
		return ExitUsage
	case api.NotFound:
		return ExitNotFound
	case api.Unauthenticated, api.Forbidden,
		api.IdentityMismatch, api.IdentityRevoked, api.BootstrapTokenInvalid, api.BootstrapTokenUsed, api.AttestationFailed,
		api.LeaseExpiredKind, api.LeaseRevoked, api.LeaseFencedKind, api.StaleGeneration, api.StaleEpoch,
		api.WrongAudience, api.BadSignature, api.CaveatFailed, api.TokenExpired:
		return ExitUnauthorised
	case api.Conflict, api.TenantHasLeases, api.SchedulerRemoved:
		return ExitConflict
	case api.Overloaded, api.NoLeader, api.OutcomeUnknown, api.BindTimeout:
		return ExitUnavailable
	case api.FuelExhausted, api.MemoryExceeded, api.DeadlineExceeded, api.OutputExceeded, api.Trap, api.ExitNonzero,
		api.InvalidModule, api.WorkerLost, api.Internal:
		return ExitFailure
	}
	return ExitFailure
}
