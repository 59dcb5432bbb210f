package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
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
	// key is the idempotency key of a write; "" with write means that repeating is harmless
	// for another reason.
	key   string
	write bool
	// extra is added to the client's timeout.
	extra time.Duration
	// stream leaves the answer's body open beyond the call, and the time unbounded.
	stream bool
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

// prepared is a call whose body is encoded.
type prepared struct {
	call
	json []byte
}

func (c call) prepare() (prepared, error) {
	p := prepared{call: c}
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

// request makes the HTTP request of one try at one scheduler.
func (c *Client) request(ctx context.Context, base string, p prepared) (*http.Request, error) {
	target := base + p.path
	if len(p.query) > 0 {
		target += "?" + p.query.Encode()
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
		req.Header.Set("Content-Type", "application/octet-stream")
	} else if p.json != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, c.dress(req, p)
}

// dress sets the headers that every request has.
func (c *Client) dress(req *http.Request, p prepared) error {
	accept := p.accept
	if accept == "" {
		accept = "application/json"
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", c.config.UserAgent)
	if p.key != "" {
		req.Header.Set("Idempotency-Key", p.key)
	}
	if c.config.Token == nil {
		return nil
	}
	token, err := c.config.Token()
	if err != nil {
		return api.Refuse(api.Unauthenticated, "read the bearer token: %v", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// try sends p once to base. sent says that the scheduler may have seen it.
func (c *Client) try(ctx context.Context, base string, p prepared) (resp *http.Response, sent bool, err error) {
	var reached atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { reached.Store(true) }}
	req, err := c.request(httptrace.WithClientTrace(ctx, trace), base, p)
	if err != nil {
		return nil, false, err
	}
	resp, err = c.http.Do(req)
	if err != nil {
		return nil, reached.Load(), transportError(base, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, true, nil
	}
	return nil, true, answerError(base, resp)
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
	_, _ = io.CopyN(io.Discard, body, 4<<10)
	_ = body.Close()
}
