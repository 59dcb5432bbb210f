package server

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// post sends one request without a client that would repeat it.
func post(t *testing.T, n *sched) (status int, kind string) {
	t.Helper()
	body := strings.NewReader(`{"provider":"aws","resources":{"mem":1024},"ttl_ms":60000}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+"/api/v1/leases", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := raw(t, api.RoleTenant).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, resp.Header.Get("Content-Type")
}

// TestDeposedWhileDeciding: a request that a leader was working on when it lost the lead is
// taken to the next one, and its caller sees no error.
func TestDeposedWhileDeciding(t *testing.T) {
	next := start(t, nil)
	old := follower(t, next)
	old.leader.set(true, "")
	old.fake.hook = func(context.Context, string) error {
		old.leader.set(false, next.url)
		return api.Refuse(api.NoLeader, "deposed")
	}
	if status, _ := post(t, old); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if next.fake.count("RequestLeases") != 1 || old.fake.count("RequestLeases") != 1 {
		t.Errorf("the old leader was asked %d times, the next %d", old.fake.count("RequestLeases"), next.fake.count("RequestLeases"))
	}
}

// TestUnknownStays: a leader that does not know, and still leads, is believed at once.
func TestUnknownStays(t *testing.T) {
	n := start(t, nil)
	n.fake.err = api.Refuse(api.OutcomeUnknown, "its cell is away")
	if status, kind := post(t, n); status != http.StatusServiceUnavailable || kind != "application/problem+json" {
		t.Errorf("status %d, %s", status, kind)
	}
	if n.fake.count("RequestLeases") != 1 {
		t.Errorf("asked %d times", n.fake.count("RequestLeases"))
	}
}
