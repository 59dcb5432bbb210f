package server

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/grafos/grafos/api"
)

// heldAnswer keeps what a handler answers until it is known to be the answer: a leader that
// steps down while it works on a request would refuse what the next one can do.
type heldAnswer struct {
	header http.Header
	status int
	body   *[]byte
}

// Header returns the headers of the answer.
func (a *heldAnswer) Header() http.Header { return a.header }

// WriteHeader takes the status; only the first one counts.
func (a *heldAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write takes a part of the body.
func (a *heldAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	*a.body = append(*a.body, p...)
	return len(p), nil
}

// passing returns the kind of an answer that the next leader may better, or "".
func (a *heldAnswer) passing() api.Kind {
	if a.status != http.StatusServiceUnavailable {
		return ""
	}
	var p api.Error
	if json.Unmarshal(*a.body, &p) != nil || p.Kind != api.NoLeader && p.Kind != api.OutcomeUnknown {
		return ""
	}
	return p.Kind
}

// give sends the answer.
func (a *heldAnswer) give(x *exchange) {
	maps.Copy(x.Header(), a.header)
	x.WriteHeader(max(a.status, http.StatusOK))
	_, _ = x.Write(*a.body) // the caller has gone: nobody is left to tell
}

// decide has the leader answer: this node where it leads, another one otherwise. A request
// that was being worked on here when the lead was lost is taken to the next leader; its
// idempotency key makes that safe. One that was forwarded here goes back to whoever did.
func (s *server) decide(x *exchange, r *http.Request, body []byte, by string, h http.HandlerFunc) error {
	began := time.Now()
	var before *heldAnswer
	for {
		done, err := s.forward(x, r, body, by)
		if err != nil && before != nil {
			before.give(x)
			return nil
		}
		if done || err != nil {
			return err
		}
		if before != nil && before.passing() == api.OutcomeUnknown {
			before.give(x) // this node leads still or again: that was its answer
			return nil
		}
		a := &heldAnswer{header: http.Header{}, body: s.buffers.take()}
		defer s.buffers.give(a.body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		h(a, r)
		if by != "" || a.passing() == "" || time.Since(began) > forwardTime || !sleep(r.Context(), forwardPause) {
			a.give(x)
			return nil
		}
		before = a
	}
}
