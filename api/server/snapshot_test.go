package server

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

// TestRoundTripSnapshots goes to the leader itself.
func TestRoundTripSnapshots(t *testing.T) {
	n := start(t, nil)
	n.fake.leaderURL = n.url
	c := dial(t, api.RoleOperator, n)
	for _, stale := range []bool{false, true} {
		body, err := c.SaveSnapshot(t.Context(), stale)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err != nil || string(b) != "archive" || body.Close() != nil {
			t.Errorf("got %q, %v", b, err)
		}
		if diff := cmp.Diff([]any{stale}, n.fake.last().Args); diff != "" {
			t.Error(diff)
		}
	}
	for _, dry := range []bool{true, false} {
		o := api.WriteOptions{IdempotencyKey: "k-1", Reason: "a drill", DryRun: dry}
		got, err := c.RestoreSnapshot(t.Context(), 5, strings.NewReader("state"), o)
		if want := filled[api.RestoreReport](); err != nil || *got != want {
			t.Errorf("got %+v, %v", got, err)
		}
		if diff := cmp.Diff([]any{int64(5), "state", o}, n.fake.last().Args); diff != "" {
			t.Error(diff)
		}
	}
}

// TestSnapshotAtAFollower: any scheduler hands out the leader's archive; stale, its own. One that breaks
// off at the leader is cut off here too.
func TestSnapshotAtAFollower(t *testing.T) {
	leader := start(t, nil)
	n := follower(t, leader)
	c := raw(t, api.RoleOperator)
	get := func(query string) (string, error) {
		resp, err := c.Get(n.url + "/api/v1/operator/snapshot" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		return resp.Status + " " + resp.Header.Get("Content-Type") + " " + string(b), err
	}
	for query, at := range map[string]*sched{"": leader, "?stale=false": leader, "?stale=true": n} {
		before := at.fake.count("SaveSnapshot")
		got, err := get(query)
		if err != nil || got != "200 OK application/octet-stream archive" || at.fake.count("SaveSnapshot") != before+1 {
			t.Errorf("%q: %s, %v, asked %d times", query, got, err, at.fake.count("SaveSnapshot")-before)
		}
	}
	if who := leader.fake.last().Caller; who.Role != api.RoleOperator || who.Name != "acme" {
		t.Errorf("the leader was asked by %+v", who)
	}
	leader.fake.short = true
	if got, err := get(""); err == nil {
		t.Errorf("half an archive is %q", got)
	}
	// Where the other one says that it does not lead either, that is said, and soon enough.
	leader.fake.short = false
	leader.leader.set(false, n.url)
	header := http.Header{headForwarded: {"s9"}, headCaller: {encoded(t, api.Caller{Role: api.RoleOperator, Name: "ana"})}}
	if _, p := ask(t, raw(t, api.RoleScheduler), http.MethodGet, leader.url+"/api/v1/operator/snapshot", nil, header); p.Kind != api.NoLeader {
		t.Errorf("forwarded twice: %q (%s)", p.Kind, p.Detail)
	}
}

func TestRestoreUnderNoKey(t *testing.T) {
	n := start(t, nil)
	c := raw(t, api.RoleOperator)
	url := n.url + "/api/v1/operator/snapshot:restore"
	if _, p := ask(t, c, "POST", url, []byte("state"), http.Header{"Idempotency-Key": {""}}); p.Kind != api.InvalidArgument {
		t.Errorf("got %q (%s)", p.Kind, p.Detail)
	}
	if len(n.fake.calls) != 0 {
		t.Errorf("a service was asked: %v", n.fake.calls)
	}
}
