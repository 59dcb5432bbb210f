package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	// forwardTime bounds the search for a leader that answers, repetitions included.
	forwardTime = 20 * time.Second
	// forwardPause spaces the repetitions; it doubles up to forwardPauseCap.
	forwardPause    = 10 * time.Millisecond
	forwardPauseCap = 500 * time.Millisecond
	// maxForwardProblem bounds a problem document that is looked into, in bytes.
	maxForwardProblem = 1 << 20
)

// forward hands the request to the leader and its answer back, unless this node leads: then
// done is false. When the leader dies in between, it waits for the next one and repeats,
// which the idempotency key makes safe. A request that was forwarded once is not forwarded
// again: two schedulers that take each other for the leader would play with it for ever.
func (s *server) forward(x *exchange, r *http.Request, body []byte, by string) (done bool, err error) {
	if _, self, err := s.config.Leader.Locate(r.Context()); err != nil || self {
		return false, err // without a clock for what is over already; and nobody waits twice for a leader
	}
	ctx, cancel := context.WithTimeout(r.Context(), forwardTime)
	defer cancel()
	var unsure unsureLeader
	for pause := forwardPause; ; pause = min(2*pause, forwardPauseCap) {
		url, self, err := s.config.Leader.Locate(ctx)
		if err != nil {
			return false, unsure.or(err)
		}
		if unsure.still(url) {
			return false, unsure.problem
		}
		if self {
			return false, nil
		}
		if by != "" {
			return false, api.Refuse(api.NoLeader, "%s forwarded this request to %s, which does not lead", by, s.head().Node).
				WithHint("leadership is moving: repeat it with the same idempotency key")
		}
		resp, err := s.sendOn(r.Context(), x, r, url, body) //nolint:bodyclose // relay closes it
		if err == nil {
			return true, relay(x, resp)
		}
		s.config.Log.Warn("leader did not answer a forwarded request", "request_id", x.id, "leader", url, "route", x.route, "error", err)
		unsure.note(url, err)
		s.config.Leader.Moved(ctx, url, pause+rand.N(pause))
		if ctx.Err() != nil {
			return false, gaveUp(err)
		}
	}
}

// unsureLeader is a leader that answered outcome_unknown. When it still leads after a while,
// that was its answer; the next leader may know better.
type unsureLeader struct {
	url     string
	problem *api.Error
}

func (u *unsureLeader) note(url string, err error) {
	u.url, u.problem = "", nil
	if p, ok := api.AsError(err); ok && p.Kind == api.OutcomeUnknown {
		u.url, u.problem = url, p
	}
}

func (u *unsureLeader) still(url string) bool { return u.problem != nil && u.url == url }

// or returns what the leader answered, or else err.
func (u *unsureLeader) or(err error) error {
	if u.problem != nil {
		return u.problem
	}
	return err
}

// gaveUp is the problem when no leader answered in time: the newest one may have done it.
func gaveUp(err error) error {
	if p, ok := api.AsError(err); ok {
		return p
	}
	return api.Refuse(api.OutcomeUnknown, "the leader was lost before it answered: %v", err).
		WithHint("repeat it with the same idempotency key")
}

// sendOn sends the request to the leader as this scheduler, on its caller's behalf. An
// answer that another leader may better is an error.
func (s *server) sendOn(ctx context.Context, x *exchange, r *http.Request, url string, body []byte) (*http.Response, error) {
	out, err := http.NewRequestWithContext(ctx, r.Method, strings.TrimSuffix(url, "/")+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, api.Refuse(api.Internal, "forward the request: %v", err)
	}
	for _, name := range []string{"Accept", "Content-Type", headKey, "User-Agent"} {
		if v := r.Header.Get(name); v != "" {
			out.Header.Set(name, v)
		}
	}
	caller, err := callerHeader(api.CallerFrom(r.Context()))
	if err != nil {
		return nil, err
	}
	out.Header.Set(headForwarded, string(s.head().Node))
	out.Header.Set(headCaller, caller)
	out.Header.Set(headRequestID, x.id)
	resp, err := s.whileLeads(url, out)
	if err != nil {
		return nil, err
	}
	if mayPass(resp.StatusCode) {
		return passing(resp)
	}
	return resp, nil
}

const (
	// leaderLook is when a leader that does not answer begins to be looked after.
	leaderLook = 200 * time.Millisecond
	// deposedLook bounds one look.
	deposedLook = time.Minute
)

// whileLeads sends a request to the leader, and gives up when another one leads: a leader
// that stands still, or is cut off, never says that it was deposed.
func (s *server) whileLeads(url string, out *http.Request) (*http.Response, error) {
	ctx, giveUp := context.WithCancelCause(out.Context())
	answered, answer := context.WithCancel(ctx)
	watched := make(chan struct{})
	watch := time.AfterFunc(leaderLook, func() {
		defer close(watched)
		if s.deposed(answered, url) {
			giveUp(api.Refuse(api.OutcomeUnknown, "%s was deposed before it answered", url))
		}
	})
	resp, err := s.config.Leader.Transport().RoundTrip(out.WithContext(ctx))
	answer()
	if !watch.Stop() {
		<-watched
	}
	if err != nil {
		if moved, ok := api.AsError(context.Cause(ctx)); ok {
			return nil, moved
		}
		return nil, err
	}
	return resp, nil
}

// deposed waits until another than url leads; it reports false when ctx ends first.
func (s *server) deposed(ctx context.Context, url string) bool {
	for ctx.Err() == nil {
		if s.config.Leader.Moved(ctx, url, deposedLook) {
			return true
		}
	}
	return false
}

// mayPass reports whether an answer of this status may be one that passes with the next leader.
func mayPass(status int) bool {
	return status == http.StatusServiceUnavailable || status == api.SchedulerRemoved.Status()
}

// passes reports whether the next leader may do better.
func passes(k api.Kind) bool {
	return k == api.NoLeader || k == api.OutcomeUnknown || k == api.SchedulerRemoved
}

// passing looks into an answer: what passes with the next leader is the error, anything else is
// the answer.
func passing(resp *http.Response) (*http.Response, error) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxForwardProblem))
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	var p api.Error
	if err := json.Unmarshal(b, &p); err != nil || p.Kind == "" {
		return nil, api.Refuse(api.OutcomeUnknown, "the leader answered %s without a problem document", resp.Status)
	}
	if passes(p.Kind) {
		return nil, &p
	}
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp, nil
}

// relay gives the leader's answer to the caller.
func relay(x *exchange, resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	h := x.Header()
	for name, values := range resp.Header {
		switch name {
		case "Connection", "Date", "Keep-Alive", "Transfer-Encoding", headRequestID:
			continue
		}
		h[name] = values
	}
	x.WriteHeader(resp.StatusCode)
	var out io.Writer = x
	switch resp.Header.Get("Content-Type") {
	case ndjson:
		out = &prompt{patienceOf(x)}
	case octets: // as long as it takes
		out = &patient{x: x, control: http.NewResponseController(x)}
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		x.aborted = true // the caller must not take half an answer for a whole one
	}
	return nil
}

// prompt sends each piece of a stream when it comes.
type prompt struct{ patience }

func (p *prompt) Write(b []byte) (int, error) {
	p.more()
	n, err := p.x.Write(b)
	if err == nil {
		err = p.control.Flush()
	}
	return n, p.took(err)
}

// decideStream has the leader answer with a stream: what it says is handed on as it comes, and not held
// back until it is known what became of it.
func (s *server) decideStream(x *exchange, r *http.Request, body []byte, by string, h http.HandlerFunc) error {
	if done, err := s.forward(x, r, body, by); done || err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	h(x, r)
	return nil
}

// takeID goes on under the id that the first scheduler gave the request.
func (x *exchange) takeID(id string) {
	if id != "" && len(id) <= 64 {
		x.id = id
	}
}

// sleep waits for d, and reports whether ctx lasted that long.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
