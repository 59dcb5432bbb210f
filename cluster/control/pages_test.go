package control

import (
	"testing"

	"github.com/grafos/grafos/api"
)

// TestNoPage: what no list gave as its next page is refused, and does not begin the list afresh.
func TestNoPage(t *testing.T) {
	r := newRig(t)
	ctx := r.operator()
	_, err := r.c.ListLeases(ctx, api.LeaseFilter{Page: "xx"}, api.ReadOptions{})
	r.wantKind("a page of leases", err, api.InvalidArgument)
	_, err = r.c.ListRuns(ctx, api.RunFilter{Page: "xx"}, api.ReadOptions{})
	r.wantKind("a page of runs", err, api.InvalidArgument)
	if _, err = r.c.ListLeases(ctx, api.LeaseFilter{Page: "0/1"}, api.ReadOptions{}); err != nil {
		t.Error(err)
	}
	if _, err = r.c.ListRuns(ctx, api.RunFilter{Page: "r-1"}, api.ReadOptions{}); err != nil {
		t.Error(err)
	}
}
