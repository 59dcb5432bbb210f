package server

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

// TestRoundTripSnapshots goes to the leader itself: an archive is not handed on.
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
