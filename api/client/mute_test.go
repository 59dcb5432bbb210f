package client

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestMute: a scheduler that takes a call and lets its time pass is there: what it says of its
// leader is told, not that nobody runs.
func TestMute(t *testing.T) {
	down := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	holds := func(leader ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/livez" {
				_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the client left
				<-r.Context().Done()
				return
			}
			w.Header()["Grafos-Leader"] = leader
			_, _ = io.WriteString(w, `{"status":"ok"}`)
		}
	}
	read := func(c *Client) error {
		_, err := c.ListTenants(t.Context(), api.ReadOptions{})
		return err
	}
	write := func(c *Client) error {
		_, err := c.CreateTenant(t.Context(), "acme", api.WriteOptions{})
		return err
	}
	for _, tt := range []struct {
		name     string
		handlers []http.HandlerFunc
		call     func(*Client) error
		kind     api.Kind
		says     string
	}{
		{"no leader", []http.HandlerFunc{down, holds("")}, read, api.NoLeader, "it knows no leader"},
		{"a leader", []http.HandlerFunc{down, holds("s2")}, read, api.NoLeader, "did not answer within"},
		{"it does not say", []http.HandlerFunc{down, holds()}, read, api.NoLeader, "did not answer within"},
		{"the only one", []http.HandlerFunc{holds("")}, read, api.NoLeader, "did not answer within"},
		{"a write", []http.HandlerFunc{down, holds("")}, write, api.OutcomeUnknown, "outcome was not learned"},
		{"nobody", []http.HandlerFunc{down, down}, read, api.NoLeader, "no scheduler of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := served(t, tt.handlers...)
			c.config.Timeout = 1600 * time.Millisecond
			err := tt.call(c)
			if p, ok := api.AsError(err); !ok || p.Kind != tt.kind || !strings.Contains(p.Detail, tt.says) {
				t.Errorf("got %v, want %s: %s", err, tt.kind, tt.says)
			}
		})
	}
}
