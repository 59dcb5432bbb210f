package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// wires are the HTTP/1.1 connections of a client. Calls go over HTTP/2 as long as there are few
// of them: one connection then does for all. A client with many calls under way opens wires for
// them by and by, at most maxWires to each scheduler; what finds none free goes over HTTP/2. So
// do streams, blobs and whatever waits long.
type wires struct {
	transport http.RoundTripper // HTTP/2
	dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	config    *tls.Config
	ping      time.Duration
	handshake time.Duration

	mu     sync.Mutex
	hosts  map[string]*host // guarded by mu, by base URL
	ctx    context.Context  //nolint:containedctx // guarded by mu: ends the opening of wires
	stop   context.CancelFunc
	opened sync.WaitGroup // those who open wires
}

const (
	// maxWires bounds the wires to one scheduler.
	maxWires = 128
	// manyCalls is from how many calls under way on they have wires.
	manyCalls = 4
	// wirePrice is how many calls must have been answered without a wire, among so many, before
	// one more is opened: its handshake costs what it spares some ten calls. Where calls only
	// wait, as they all do while there is no leader, none is opened.
	wirePrice = 16
	// maxDialing bounds the wires that are being opened to one scheduler.
	maxDialing = 4
)

// host is a scheduler, with its wires.
type host struct {
	wires *wires
	base  string
	name  string // for the Host header
	addr  string
	tls   *tls.Config // nil: it is not asked over wires

	mu      sync.Mutex
	calls   int         // guarded by mu: under way, over wires or not
	open    int         // guarded by mu: the wires, those that are being opened too
	dialing int         // guarded by mu
	paid    int         // guarded by mu: the calls that found no wire since the last one was opened
	idle    []*wire     // guarded by mu, the one that was used last at the end
	reaper  *time.Timer // guarded by mu; nil while no wire is idle
}

func newWires(t *http.Transport, c Config) *wires {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		conf = c.TLS.Clone()
	}
	conf.NextProtos = []string{"http/1.1"}
	w := &wires{
		transport: t, dial: t.DialContext, config: conf, ping: c.Ping, handshake: t.TLSHandshakeTimeout, hosts: map[string]*host{},
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

// at returns the scheduler at a base URL.
func (w *wires) at(base string) *host {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.hosts[base]
	if !ok {
		h = &host{wires: w, base: base}
		if u, err := url.Parse(base); err == nil && u.Scheme == "https" {
			h.name, h.tls = u.Host, w.config.Clone()
			var name string
			if h.addr, name = wireAddr(u); h.tls.ServerName == "" {
				h.tls.ServerName = name
			}
		}
		w.hosts[base] = h
	}
	return h
}

// close closes the wires that are idle, and opens no more of those that were begun.
func (w *wires) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop()
	w.opened.Wait() // none begins meanwhile: that takes mu
	w.ctx, w.stop = context.WithCancel(context.Background())
	for _, h := range w.hosts {
		h.clear()
	}
}

// begin counts a call, and returns a wire for it where one is idle; nil is HTTP/2. end has to be
// called when it is over.
func (h *host) begin() *wire {
	w, open := h.take()
	if open {
		h.wires.open(h)
	}
	return w
}

// take is begin, and says whether one more wire is to be opened.
func (h *host) take() (w *wire, open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	now := time.Now()
	for n := len(h.idle); n > 0; n = len(h.idle) {
		w := h.idle[n-1]
		h.idle = h.idle[:n-1]
		if w.good(now) {
			return w, false
		}
		h.open--
		_ = w.raw.Close()
	}
	if h.paid < wirePrice || h.open >= maxWires || h.dialing >= maxDialing {
		return nil, false
	}
	h.paid -= wirePrice
	h.open++
	h.dialing++
	return nil, true
}

// open opens a wire for later calls. No call waits for it, and none fails with it.
func (w *wires) open(h *host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx := w.ctx
	w.opened.Go(func() {
		wire, err := h.dialWire(ctx)
		if err == nil {
			h.put(wire)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.dialing--; err != nil {
			h.open--
		}
	})
}

// end is told whether the call went over a wire.
func (h *host) end(wired bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tls != nil && !wired && h.calls > manyCalls {
		h.paid = min(h.paid+1, wirePrice*maxDialing)
	}
	h.calls--
}

// put keeps a wire for the next call.
func (h *host) put(w *wire) {
	w.since, w.ctx = time.Now(), nil
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle = append(h.idle, w)
	if h.reaper == nil {
		h.reaper = time.AfterFunc(wireIdle, h.reap)
	}
}

// drop closes a wire whose call is over.
func (h *host) drop(w *wire) {
	_ = w.raw.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open--
}

// broke drops a wire that failed, and those that are idle: they lead to the same process.
func (h *host) broke(w *wire) {
	h.drop(w)
	h.clear()
}

// clear closes the wires that are idle.
func (h *host) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.idle {
		_ = w.raw.Close()
	}
	h.open -= len(h.idle)
	h.idle = nil
	if h.reaper != nil {
		h.reaper.Stop()
		h.reaper = nil
	}
}

// reap closes the wires that were idle for too long; the oldest come first.
func (h *host) reap() {
	h.mu.Lock()
	defer h.mu.Unlock()
	old, now := 0, time.Now()
	for old < len(h.idle) && now.Sub(h.idle[old].since) >= wireIdle {
		_ = h.idle[old].raw.Close()
		old++
	}
	h.open -= old
	h.idle = append([]*wire(nil), h.idle[old:]...)
	h.reaper = nil
	if len(h.idle) > 0 {
		h.reaper = time.AfterFunc(wireIdle-now.Sub(h.idle[0].since), h.reap)
	}
}

// alive asks over HTTP/2 whether the scheduler answers at all.
func (h *host) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.wires.ping)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+"/livez", nil)
	if err != nil {
		return fmt.Errorf("ask whether %s is alive: %w", h.base, err)
	}
	resp, err := h.wires.transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ask whether %s is alive: %w", h.base, err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // that it answered is all
	return resp.Body.Close()
}
