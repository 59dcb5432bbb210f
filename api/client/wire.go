package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// wire is one HTTP/1.1 connection to a scheduler, for one call at a time. The goroutine that
// calls writes the request and reads the answer itself: HTTP/2 takes four goroutines and two
// compressed tables for that, which costs more than everything else that a small call costs.
type wire struct {
	host  *host
	raw   net.Conn
	conn  *tls.Conn
	in    *bufio.Reader
	out   []byte
	ctx   context.Context //nolint:containedctx // that of the call that it carries
	room  int             // how much of the head of an answer may still come, in bytes
	born  time.Time
	since time.Time // when it became idle
}

const (
	// wireLife is how long a wire is used at most: a certificate that was renewed is shown by
	// those that come after it.
	wireLife = 5 * time.Minute
	// wireIdle is how long a wire waits for the next call.
	wireIdle = 20 * time.Second
	// wireSure is for how long a wire is taken for good without a look.
	wireSure   = time.Second
	wireBuffer = 4 << 10
	// maxRequest is the longest body that goes over a wire, in bytes: all of it is written before
	// anything is read.
	maxRequest = 512 << 10
)

// dialWire opens a wire.
func (h *host) dialWire(ctx context.Context) (*wire, error) {
	raw, err := h.wires.dial(ctx, "tcp", h.addr)
	if err != nil {
		return nil, err
	}
	shake, cancel := context.WithTimeout(ctx, h.wires.handshake)
	defer cancel()
	conn := tls.Client(raw, h.tls)
	if err := conn.HandshakeContext(shake); err != nil {
		_ = raw.Close()
		return nil, err
	}
	w := &wire{host: h, raw: raw, conn: conn, born: time.Now()}
	w.in = bufio.NewReaderSize(w, wireBuffer)
	return w, nil
}

// Read reads what the scheduler sends. While that is nothing it asks, over another connection,
// whether the scheduler is alive: a stopped process ends no connection.
func (w *wire) Read(p []byte) (int, error) {
	for {
		if err := w.raw.SetReadDeadline(time.Now().Add(w.host.wires.ping)); err != nil {
			return 0, err
		}
		if len(p) > w.room {
			p = p[:w.room]
		}
		if len(p) == 0 {
			return 0, errLongHead
		}
		n, err := w.conn.Read(p)
		w.room -= n
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if err := w.host.alive(w.ctx); err != nil {
			return 0, silence{err}
		}
	}
}

var errLongHead = fmt.Errorf("the head of the answer is longer than %d bytes", maxHeaderBytes)

// good reports whether a wire that was idle may be used: one that has something to say has
// been closed.
func (w *wire) good(now time.Time) bool {
	if now.Sub(w.born) > wireLife || now.Sub(w.since) > wireIdle {
		return false
	}
	return now.Sub(w.since) < wireSure || w.in.Buffered() == 0 && silent(w.raw)
}

// silence is the error of a wire behind which nobody lives.
type silence struct{ cause error }

func (e silence) Error() string { return "the scheduler is silent: " + e.cause.Error() }
func (e silence) Unwrap() error { return e.cause }

// unheard is the error of a wire that broke before the first byte of an answer.
type unheard struct{ cause error }

func (e unheard) Error() string { return e.cause.Error() }
func (e unheard) Unwrap() error { return e.cause }

// call sends the request that is in w.out and reads the answer's head, and its body where that
// is short.
func (w *wire) call(ctx context.Context, method string) (*http.Response, error) {
	w.ctx = ctx
	stop := context.AfterFunc(ctx, func() { _ = w.raw.Close() })
	resp, err := w.exchange(method)
	switch {
	case err == nil:
	case !stop() && ctx.Err() != nil:
		w.host.drop(w)
		return nil, ctx.Err()
	default:
		w.host.broke(w)
		return nil, err
	}
	if _, ok := resp.Body.(*whole); ok {
		w.done(stop, !resp.Close)
		return resp, nil
	}
	resp.Body = &rest{ReadCloser: resp.Body, wire: w, stop: stop, keep: !resp.Close}
	return resp, nil
}

func (w *wire) exchange(method string) (*http.Response, error) {
	if _, err := w.conn.Write(w.out); err != nil {
		return nil, unheard{err}
	}
	if cap(w.out) > 2*wireBuffer {
		w.out = nil
	}
	w.room = maxHeaderBytes
	if _, err := w.in.Peek(1); err != nil {
		return nil, unheard{err}
	}
	resp, err := http.ReadResponse(w.in, asked(method))
	w.room = math.MaxInt // the body has its own bound
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if n := resp.ContentLength; n >= 0 && n <= maxSaid && len(resp.TransferEncoding) == 0 {
		b := make([]byte, n)
		if _, err := io.ReadFull(w.in, b); err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		body := &whole{all: b}
		body.Reset(b)
		resp.Body = body
	}
	return resp, nil
}

// asked is what http.ReadResponse, and whoever reads a problem, wants to know of a request.
func asked(method string) *http.Request { return &http.Request{Method: method} }

// done ends a call whose answer was read to its end.
func (w *wire) done(stop func() bool, keep bool) {
	if !stop() || !keep || w.in.Buffered() > 0 {
		w.host.drop(w)
		return
	}
	w.host.put(w)
}

// whole is the body of an answer that is here.
type whole struct {
	bytes.Reader
	all []byte
}

// Close does nothing.
func (*whole) Close() error { return nil }

// rest is the body of an answer that is still being sent.
type rest struct {
	io.ReadCloser
	wire  *wire
	stop  func() bool
	keep  bool
	ended bool
	shut  bool
}

// Read reads a part of it.
func (b *rest) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.ended = true
	}
	return n, err
}

// Close gives the wire back where all of it was read.
func (b *rest) Close() error {
	if !b.shut {
		b.shut = true
		b.wire.done(b.stop, b.keep && b.ended)
	}
	return nil
}

// appendRequest writes the request of a call; false is that it has something in it that a
// request must not have, or that needs more care than is taken here.
func appendRequest(b []byte, host string, p *prepared, h *heads) ([]byte, bool) {
	ok := visible(p.path) && (p.queried == "" || visible(p.queried))
	b = append(append(append(b, p.method...), ' '), p.path...)
	if p.queried != "" {
		b = append(append(b, '?'), p.queried...)
	}
	b = append(append(b, " HTTP/1.1\r\nHost: "...), host...)
	for _, f := range [...][2]string{
		{"User-Agent", h.agent}, {"Accept", h.accept}, {"Content-Type", h.content}, {"Idempotency-Key", p.key}, {"Authorization", h.authorization},
	} {
		if f[1] != "" {
			ok = ok && printable(f[1])
			b = append(append(append(append(b, "\r\n"...), f[0]...), ": "...), f[1]...)
		}
	}
	if len(p.json) > 0 || p.method == http.MethodPost || p.method == http.MethodPut {
		b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(p.json)), 10)
	}
	return append(append(b, "\r\n\r\n"...), p.json...), ok
}

// visible reports whether a part of a request's target ends where it should.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// printable reports whether a header's value stays in its line.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s[0] != ' ' && s[len(s)-1] != ' '
}

// wireAddr returns where a scheduler's wires lead, and the name that TLS knows it by.
func wireAddr(u *url.URL) (addr, name string) {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port), u.Hostname()
}
