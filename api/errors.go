package api

import (
	"context"
	"errors"
)

// AsError finds the problem document in err's chain.
func AsError(err error) (*Error, bool) { return errors.AsType[*Error](err) }

// Problem returns err as a problem document. What has no kind of its own becomes
// internal, or outcome_unknown where a context ended before the answer was learned.
func Problem(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := AsError(err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Refuse(OutcomeUnknown, "the request ended before its outcome was learned: %v", err).
			WithHint("repeat it with the same idempotency key")
	}
	return Refuse(Internal, "%v", err)
}
