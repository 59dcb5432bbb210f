package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/quick"
)

// Paths of the two interfaces.
const (
	userBase = "/api/v1"
	peerBase = "/peer/v1"
)

// maxAnswer bounds a JSON answer, in bytes.
const maxAnswer = 256 << 20

// maxSaid is up to which length an answer's own word is taken for it, in bytes.
const maxSaid = 1 << 20

// call is one request, as often as it has to be sent.
type call struct {
	method, path string // path is whole, already escaped
	query        url.Values
	// body is sent as JSON; open, where it is set, returns the raw body for a try instead.
	body   any
	open   func() (io.Reader, error)
	size   int64  // of the raw body
	accept string // "" is JSON
	// head is more headers, or other values than a call has; "" is not sent.
	head map[string]string
	// key is the idempotency key of a write; "" with write means that repeating is harmless
	// for another reason.
	key   string
	write bool
	// extra is added to the client's timeout.
	extra time.Duration
	// cell says that the answer is a cell's, which may be dead: its schedulers' word that it cannot
	// be asked is believed long before the call's time is up.
	cell bool
	// stream leaves the answer's body open beyond the call, and the time unbounded.
	stream bool
	// waits is told when it is tried again; nil is one of its own.
	waits *waits
}

// get returns a read.
func get(path string, query url.Values, o api.ReadOptions) call {
	return call{method: http.MethodGet, path: userBase + path, query: readQuery(query, o), extra: o.Wait}
}

// write returns a write of body, under the key in o or one that is made here.
func write(method, path string, body any, o api.WriteOptions) call {
	key := o.IdempotencyKey
	if key == "" {
		key = rand.Text()
	}
	return call{method: method, path: userBase + path, query: writeQuery(o), body: body, key: key, write: true}
}

// check refuses a call that could not be sent, or that no scheduler takes.
func (c call) check() error {
	if c.key == "" {
		return nil
	}
	return api.CheckKey(c.key)
}

// prepared is a call whose body and query are encoded.
type prepared struct {
	call
	json    []byte
	queried string
}

func (c call) prepare() (prepared, error) {
	p := prepared{call: c}
	if err := c.check(); err != nil {
		return p, err
	}
	if len(c.query) > 0 {
		p.queried = c.query.Encode()
	}
	if c.body == nil {
		return p, nil
	}
	if b, ok := quick.Append(nil, c.body); ok {
		p.json = b
		return p, nil
	}
	b, err := json.Marshal(c.body)
	if err != nil {
		return p, api.Refuse(api.InvalidArgument, "the request cannot be encoded: %v", err)
	}
	p.json = b
	return p, nil
}

// brief reports whether a call may go over a wire: a short one that is answered at once. What
// waits goes over HTTP/2, where answers that are made together leave together, and requests that
// are made together arrive together: the leader then decides more of them at a time.
func (p *prepared) brief() bool {
	return !p.stream && p.open == nil && p.extra == 0 && p.head == nil && len(p.json) <= maxRequest && p.method != http.MethodHead
}

// heads are the headers that a call has, "" of those that it has not.
type heads struct{ agent, accept, content, authorization string }

func (c *Client) heads(p *prepared) (heads, error) {
	h := heads{agent: c.config.UserAgent, accept: p.accept}
	if h.accept == "" {
		h.accept = jsonType
	}
	switch {
	case p.open != nil:
		h.content = "application/octet-stream"
	case p.json != nil:
		h.content = jsonType
	}
	if c.config.Token != nil {
		token, err := c.config.Token()
		if err != nil {
			return h, api.Refuse(api.Unauthenticated, "read the bearer token: %v", err)
		}
		if token != "" && !printable(token) {
			return h, api.Refuse(api.Unauthenticated, "the bearer token has a character that no header may have").
				WithHint("is its file the right one, with one token in it?")
		}
		h.authorization = "Bearer " + token
	}
	return h, nil
}

const jsonType = "application/json"

// request makes the HTTP request of one try at one scheduler.
func (c *Client) request(ctx context.Context, base string, p *prepared, h *heads) (*http.Request, error) {
	target := base + p.path
	if p.queried != "" {
		target += "?" + p.queried
	}
	var body io.Reader
	switch {
	case p.open != nil:
		r, err := p.open()
		if err != nil {
			return nil, err
		}
		body = r
	case p.json != nil:
		body = bytes.NewReader(p.json)
	}
	req, err := http.NewRequestWithContext(ctx, p.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if p.open != nil {
		req.ContentLength = p.size
		if p.size == 0 {
			req.Body = http.NoBody
		}
	}
	for _, f := range [...][2]string{
		{"User-Agent", h.agent}, {"Accept", h.accept}, {"Content-Type", h.content}, {"Idempotency-Key", p.key}, {"Authorization", h.authorization},
	} {
		if f[1] != "" {
			req.Header[f[0]] = []string{f[1]}
		}
	}
	for name, value := range p.head {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	return req, nil
}

// try sends p once to base. sent says that the scheduler may have seen it.
func (c *Client) try(ctx context.Context, base string, p *prepared) (resp *http.Response, sent bool, err error) {
	h, err := c.heads(p)
	if err != nil {
		return nil, false, err
	}
	if p.brief() {
		resp, sent, err = c.tryBrief(ctx, base, p, &h)
	} else {
		resp, sent, err = c.tryStream(ctx, base, p, &h)
	}
	switch {
	case err != nil:
		return nil, sent, transportError(base, err)
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return resp, true, nil
	}
	return nil, true, answerError(base, resp)
}

// tryBrief sends p over a wire where it has one. What a wire broke off before there was an
// answer is sent over HTTP/2: all that is sent may be sent again, and a scheduler that was
// started anew has closed its wires.
func (c *Client) tryBrief(ctx context.Context, base string, p *prepared, h *heads) (*http.Response, bool, error) {
	host := c.wires.at(base)
	w := host.begin()
	defer func() { host.end(w != nil) }()
	if w == nil {
		return c.tryStream(ctx, base, p, h)
	}
	var ok bool
	if w.out, ok = appendRequest(w.out[:0], host.name, p, h); !ok {
		host.put(w)
		return c.tryStream(ctx, base, p, h)
	}
	resp, err := w.call(ctx, p.method)
	_, early := errors.AsType[unheard](err)
	_, silent := errors.AsType[silence](err)
	if early && !silent && ctx.Err() == nil {
		resp, _, err = c.tryStream(ctx, base, p, h)
	}
	return resp, true, err
}

// tryStream sends p over HTTP/2, where the scheduler speaks it. No redirect is followed: a
// scheduler sends none to a program, and it would carry credentials to wherever it says.
func (c *Client) tryStream(ctx context.Context, base string, p *prepared, h *heads) (*http.Response, bool, error) {
	var reached atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { reached.Store(true) }}
	req, err := c.request(httptrace.WithClientTrace(ctx, trace), base, p, h)
	if err != nil {
		return nil, false, err
	}
	resp, err := c.streams.RoundTrip(req)
	if err != nil {
		err = &url.Error{Op: p.method[:1] + strings.ToLower(p.method[1:]), URL: req.URL.Redacted(), Err: err}
	}
	return resp, reached.Load(), err
}

// decode reads a JSON answer into out and closes it.
func decode(resp *http.Response, out any) error {
	defer drain(resp.Body)
	if out == nil {
		return nil
	}
	body, err := readAll(resp)
	if err == nil && !quick.Read(body, out) {
		err = json.NewDecoder(bytes.NewReader(body)).Decode(out)
	}
	if err != nil {
		return &brokenError{fmt.Errorf("read answer: %w", err)}
	}
	return nil
}

// readAll reads the body of an answer, at once where it says how long it is.
func readAll(resp *http.Response) ([]byte, error) {
	if whole, ok := resp.Body.(*whole); ok {
		return whole.all, nil
	}
	body := io.LimitReader(resp.Body, maxAnswer)
	if n := resp.ContentLength; n >= 0 && n <= maxSaid {
		b := make([]byte, n)
		_, err := io.ReadFull(body, b)
		return b, err
	}
	return io.ReadAll(body)
}

// drain reads a little of what is left, so that the connection can be used again, and
// closes it. Nothing can be done about an error at this point.
func drain(body io.ReadCloser) {
	if _, ok := body.(*whole); ok {
		return
	}
	_, _ = io.CopyN(io.Discard, body, 4<<10)
	_ = body.Close()
}
