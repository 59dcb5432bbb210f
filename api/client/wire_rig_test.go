package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// overTLS starts a server that speaks both protocols, and returns it.
func overTLS(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = hclog.NewNullLogger().StandardLogger(nil)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// clientOf returns a client of TLS servers.
func clientOf(t *testing.T, ping time.Duration, servers ...*httptest.Server) *Client {
	t.Helper()
	c := Config{
		Timeout: 20 * time.Second, Ping: ping,
		TLS: &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}, //nolint:gosec // the servers are the test's
	}
	for _, s := range servers {
		c.URLs = append(c.URLs, s.URL)
	}
	cl, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	return cl
}

// wired opens a wire to every scheduler of c that has none idle.
func wired(t *testing.T, c *Client) {
	t.Helper()
	for _, base := range c.urls {
		if _, idle := counts(c, base); idle > 0 {
			continue
		}
		h := c.wires.at(base)
		pay(h)
		if w := h.begin(); w != nil {
			t.Fatal("a wire before it was opened")
		}
		h.end(true)
		c.wires.opened.Wait()
	}
}

// pay lets the next call open a wire.
func pay(h *host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paid = wirePrice
}

// counts are the wires to a scheduler.
func counts(c *Client, base string) (open, idle int) {
	h := c.wires.at(base)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open, len(h.idle)
}

func show(ctx context.Context, c *Client) (uint64, error) {
	a, err := c.ShowLease(ctx, "l-1", api.ReadOptions{})
	if err != nil {
		return 0, err
	}
	return a.Index, nil
}

func answer(w http.ResponseWriter, index int) {
	_ = json.NewEncoder(w).Encode(map[string]any{"index": index, "lease": map[string]any{"lease_id": "l-1"}}) // a test's server
}
