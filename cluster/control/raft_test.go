package control

import (
	"slices"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestMembershipIsNoted: who changes the group, and why, is in the audit chain, once for a key,
// and what is refused is not.
func TestMembershipIsNoted(t *testing.T) {
	r := newRig(t)
	ctx := r.operator()
	key := api.WriteOptions{IdempotencyKey: "k-1", Reason: "its disk is old"}
	for range 2 {
		if _, err := r.c.RaftRemove(ctx, "s2", false, key); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.c.RaftRemove(ctx, "s3", false, key)
	r.wantKind("another one under the same key", err, api.Conflict)
	_, err = r.c.RaftTransfer(ctx, "s3", key)
	r.wantKind("something else under the same key", err, api.Conflict)
	_, err = r.c.RaftRemove(ctx, "s9", false, api.WriteOptions{})
	r.wantKind("one that is needed", err, api.Conflict)
	_, err = r.c.RaftTransfer(ctx, "s9", api.WriteOptions{})
	r.wantKind("to nobody", err, api.NotFound)
	if _, err := r.c.RaftRemove(ctx, "s3", false, api.WriteOptions{DryRun: true}); err != nil {
		t.Error(err)
	}
	if _, err := r.c.RaftTransfer(ctx, "s3", api.WriteOptions{Reason: "for the night"}); err != nil {
		t.Error(err)
	}
	if want := (api.Dismissal{Actor: "operator/root", Reason: "its disk is old"}); r.dismissal != want {
		t.Errorf("it was told %+v, want %+v", r.dismissal, want)
	}
	if want := []api.NodeID{"s2"}; !slices.Equal(r.removed, want) {
		t.Errorf("removed %v, want %v", r.removed, want)
	}
	var noted []string
	for _, e := range r.m.EventsAfter(api.Cursor{}, 1000).Events {
		if e.Type == "raft_remove_asked" || e.Type == "raft_transfer_asked" {
			noted = append(noted, e.Type+" "+e.Identity+" "+string(e.Data))
		}
	}
	want := []string{
		`raft_remove_asked operator/root {"node_id":"s2","reason":"its disk is old"}`,
		`raft_transfer_asked operator/root {"node_id":"s3","reason":"for the night"}`,
	}
	if !slices.Equal(noted, want) {
		t.Errorf("noted %q, want %q", noted, want)
	}
}

// TestTransferToWhoeverIsFurthest: without a name it goes to the healthy voter that has the most;
// asked again under its key, it is not handed on once more.
func TestTransferToWhoeverIsFurthest(t *testing.T) {
	r := newRig(t)
	transfer := func(to api.NodeID, o api.WriteOptions) api.RaftTransfer {
		t.Helper()
		got, err := r.c.RaftTransfer(r.operator(), to, o)
		if err != nil {
			t.Fatal(err)
		}
		return *got
	}
	if got, want := transfer("", api.WriteOptions{DryRun: true}), (api.RaftTransfer{From: "s1", To: "s3", Term: 7}); got != want {
		t.Errorf("a dry run says %+v, want %+v", got, want)
	}
	key := api.WriteOptions{IdempotencyKey: "k-1"}
	if got, want := transfer("", key), (api.RaftTransfer{From: "s1", To: "s3", Term: 8}); got != want {
		t.Errorf("handed over: %+v, want %+v", got, want)
	}
	r.leader = "s3" // the others are as far now
	if got, want := transfer("", key), (api.RaftTransfer{To: "s3", Term: 7, Repeated: true}); got != want {
		t.Errorf("the second time: %+v, want %+v", got, want)
	}
	named := api.WriteOptions{IdempotencyKey: "k-2"}
	transfer("s2", named)
	r.leader = "s2"
	if got, want := transfer("s2", named), (api.RaftTransfer{To: "s2", Term: 7, Repeated: true}); got != want {
		t.Errorf("one that was named, the second time: %+v, want %+v", got, want)
	}
}
