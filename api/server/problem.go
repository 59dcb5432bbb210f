package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

const (
	problemType = "application/problem+json"
	// maxFieldErrors bounds the faults of one body that are told, and maxInDetail those that
	// its detail repeats in words.
	maxFieldErrors = 32
	maxInDetail    = 3
)

// problem is api.Error as huma wants an error: with a status and a content type.
type problem api.Error

// Error returns the detail and the kind.
func (p *problem) Error() string { return (*api.Error)(p).Error() }

// Unwrap returns the api error.
func (p *problem) Unwrap() error { return (*api.Error)(p) }

// GetStatus returns the HTTP status.
func (p *problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457.
func (p *problem) ContentType(string) string { return problemType }

// GetHeaders returns the headers that go with the problem.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{headKind: {string(p.Kind)}}
	if p.RetryAfterMs > 0 {
		wait := time.Duration(p.RetryAfterMs) * time.Millisecond
		h.Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	if p.Index > 0 {
		h.Set(headIndex, strconv.FormatUint(p.Index, 10))
	}
	if p.Kind == api.Unauthenticated {
		h.Set("Www-Authenticate", "Bearer")
	}
	return h
}

// problemOf returns err as a problem with the request's id. err's own document is not
// written to: it may be shared.
func problemOf(requestID string, err error) *problem {
	p := problem(*api.Problem(err))
	p.RequestID = requestID
	if p.Status == 0 {
		p.Status = p.Kind.Status()
	}
	return &p
}

// huma keeps in package variables how it makes the errors of its own checks, and that a
// field's name must match to the letter. They are set here once, before anything runs, and
// not in New: a second server in the process would write them while the first one reads.
var _ = configureHuma()

func configureHuma() bool {
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return checkProblem("", status, msg, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		p := checkProblem(requestID(ctx.Context()), status, msg, errs)
		ctx.SetHeader(headKind, string(p.Kind)) // huma asks its own errors for no headers
		return p
	}
	return true
}

// checkProblem is the problem of a request that one of huma's checks refused.
func checkProblem(requestID string, status int, msg string, errs []error) *problem {
	fields := fieldErrors(errs)
	var e *api.Error
	switch {
	case status == http.StatusRequestEntityTooLarge:
		e = api.Refuse(api.TooLarge, "%s", msg)
	case status >= http.StatusInternalServerError:
		e = api.Refuse(api.Internal, "%s", detailOf(msg, fields))
	default:
		e = api.Refuse(api.InvalidArgument, "%s", detailOf(msg, fields)).
			WithHint("the schema of every request is at /api/v1/openapi.json")
		if strings.Contains(e.Detail, "unknown content type") {
			e = e.WithHint("send JSON, and say so: Content-Type: application/json")
		}
	}
	e.Errors = fields
	return problemOf(requestID, e)
}

// fieldErrors takes over where each fault is and what it is. The value that was sent is left
// out: it may be a secret.
func fieldErrors(errs []error) []api.FieldError {
	var fields []api.FieldError
	for _, err := range errs {
		if len(fields) == maxFieldErrors {
			break
		}
		if d, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			fields = append(fields, api.FieldError{Location: d.Location, Message: d.Message})
		} else if err != nil {
			fields = append(fields, api.FieldError{Message: err.Error()})
		}
	}
	return fields
}

// detailOf says the first faults in words.
func detailOf(msg string, fields []api.FieldError) string {
	if len(fields) == 0 {
		return msg
	}
	var said []string
	for _, f := range fields[:min(len(fields), maxInDetail)] {
		if f.Location == "" {
			said = append(said, f.Message)
			continue
		}
		said = append(said, f.Location+": "+f.Message)
	}
	text := strings.Join(said, "; ")
	if more := len(fields) - len(said); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return "the request is not valid: " + text
}
