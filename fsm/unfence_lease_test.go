package fsm

import (
	"bytes"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestUnfenceLease: a fence takes capacity until it is cleared, once, with a record; the lease
// stays as it ended, is kept for its time from then on, and stands in a snapshot.
func TestUnfenceLease(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grant(cpu("l1", 3000)))
	r.refused(api.Conflict, UnfenceLease{Lease: "l1"}) // below its level
	r.must(RaiseLevel{Level: 2})
	r.refused(api.Conflict, UnfenceLease{Lease: "l1"}) // not fenced
	r.refused(api.NotFound, UnfenceLease{Lease: "l2"})
	r.must(FreeLease{Lease: "l1"})
	r.ended(api.LeaseFenced, "process does not die", "l1")
	r.pass(3 * time.Hour)
	l := r.lease("l1")
	if !l.Fenced() || r.m.View().Fenced(l.CellID).CPU != l.Amount || r.m.View().Used(l.CellID).CPU != l.Amount {
		t.Fatalf("fenced %v, %v of it used", r.m.View().Fenced(l.CellID), r.m.View().Used(l.CellID))
	}
	before := len(r.audit)
	for range 2 {
		r.must(UnfenceLease{Actor: "operator/root", Lease: "l1", Reason: "the host was started anew"})
	}
	if got := r.audited(before); len(got) != 1 || got[0] != "lease_unfenced" {
		t.Errorf("audited %v", got)
	}
	l = r.lease("l1")
	if l.State != api.LeaseFenced || l.Fenced() || l.UnfencedAt.IsZero() || !r.m.View().Used(l.CellID).IsZero() || !r.m.View().Fenced(l.CellID).IsZero() {
		t.Errorf("%+v, %v used", l, r.m.View().Used(l.CellID))
	}
	if list, _ := r.m.View().ListLeases(api.LeaseFilter{State: api.LeaseFenced}); len(list) != 0 {
		t.Errorf("listed among those whose fence stands: %v", list)
	}
	if list, _ := r.m.View().ListLeases(api.LeaseFilter{State: api.LeaseFenced, All: true}); len(list) != 1 || list[0].Fenced() {
		t.Errorf("listed among all: %v", list)
	}
	again, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, r.m.View())))
	if err != nil || again.Fingerprint() != r.m.View().Fingerprint() {
		t.Errorf("read from a snapshot: %v", err)
	}
	r.must(grant(cpu("l2", 4000)))
	r.pass(110 * time.Minute)
	r.lease("l1")
	r.pass(30 * time.Minute)
	if _, ok := r.m.View().Lease("l1"); ok {
		t.Error("it is kept for ever")
	}
}
