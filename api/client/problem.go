package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/grafos/grafos/api"
)

// maxProblem bounds a problem document, in bytes: one with every veto of a large fleet.
const maxProblem = 16 << 20

// brokenError says that the exchange with one scheduler broke: nothing is known of an
// answer, and another scheduler may give one.
type brokenError struct{ cause error }

func (e *brokenError) Error() string { return e.cause.Error() }
func (e *brokenError) Unwrap() error { return e.cause }

// endedError is the problem that a call ends with when its time is up or its caller left.
// It keeps the cause, so that errors.Is finds context.Canceled.
type endedError struct {
	problem *api.Error
	cause   error
}

func (e *endedError) Error() string   { return e.problem.Error() }
func (e *endedError) Unwrap() []error { return []error{e.problem, e.cause} }

// transportError turns what http.Client.Do says into a problem that is final, where TLS or a
// TLS check of ours spoke, or into a brokenError.
func transportError(base string, err error) error {
	if p, ok := api.AsError(err); ok {
		return p
	}
	if why, ok := distrust(err); ok {
		return api.Refuse(api.Unauthenticated, "%s: %s", base, why).
			WithHint("check --ca, --cert and --key: they must belong to this cluster")
	}
	return &brokenError{err}
}

// distrust says in words which side of a TLS connection did not trust the other.
func distrust(err error) (string, bool) {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the scheduler's certificate is not trusted: " + e.Err.Error(), true
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the scheduler's certificate is not trusted: " + e.Error(), true
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		return "the scheduler refused the connection's certificate: " + e.Err.Error(), true
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the address does not speak TLS: " + e.Error(), true
	}
	return "", false
}

// answerError reads the problem of an answer that is not a success, and closes it. What is
// no problem document came from something between us and a scheduler.
func answerError(base string, resp *http.Response) error {
	defer drain(resp.Body)
	if resp.Request.Method == http.MethodHead {
		return headError(base, resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return &brokenError{err}
	}
	var p api.Error
	if err := json.Unmarshal(body, &p); err != nil || p.Kind == "" {
		return strange(base, resp, body)
	}
	return &p
}

// headError is answerError for an answer that cannot have a body: its kind is in a header.
func headError(base string, resp *http.Response) error {
	kind := api.Kind(resp.Header.Get("Grafos-Kind"))
	if kind == "" {
		return strange(base, resp, nil)
	}
	p := api.Refuse(kind, "%s answered %s", base, resp.Status)
	p.RequestID = resp.Header.Get("Grafos-Request-Id")
	return p
}

// strange is the error of an answer that no scheduler gives. A gateway that cannot reach its
// scheduler is a broken exchange.
func strange(base string, resp *http.Response, body []byte) error {
	text := strings.TrimSpace(string(body[:min(len(body), 200)]))
	p := api.Refuse(api.Internal, "%s answered %s without a problem document: %q", base, resp.Status, text).
		WithHint("is this the address of a grafOS scheduler?")
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &brokenError{p}
	}
	return p
}
