package fsm

import (
	"slices"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestLeaseEvents walks leases through every end there is: each type of event about a lease comes up,
// and each of them can be read as one.
func TestLeaseEvents(t *testing.T) {
	r := newRig(t).cluster()
	r.must(RaiseLevel{Level: NewestLevel})
	for _, id := range []api.LeaseID{"l1", "l2", "l3", "l4"} {
		r.must(grant(cpu(id, 500)))
		r.must(ReportCell{Cell: "aws-1", Epoch: 1, Bound: []api.BoundReport{{LeaseID: id, Epoch: r.lease(id).Epoch, Generation: 1}}})
	}
	r.must(RenewLease{Lease: "l1", TTLMs: 60_000})
	r.must(RevokeLease{Lease: "l1", GraceMs: 5000})
	r.progress(api.LeaseCheckpoint, "l1")
	r.ended(api.LeaseTornDown, ReasonRevoked, "l1")
	r.must(FreeLease{Lease: "l2"})
	r.ended(api.LeaseFenced, "stuck", "l2")
	r.must(UnfenceLease{Lease: "l2"})
	r.must(RevokeLease{Lease: "l3", GraceMs: 1000})
	r.pass(2 * time.Second)
	r.must(AdvanceLeases{Leases: []api.LeaseID{"l3"}})
	r.pass(2 * time.Minute)
	r.must(AdvanceLeases{Leases: []api.LeaseID{"l4", "l3"}})
	r.must(AdvanceLeases{Leases: []api.LeaseID{"l4", "l3"}})
	seen := map[string]bool{}
	for _, e := range r.m.EventsAfter(api.Cursor{}, 1000).Events {
		if e.LeaseID == "" {
			if _, err := e.Lease(); api.KindOf(err) != api.InvalidArgument {
				t.Errorf("%s is read as one about a lease: %v", e.Type, err)
			}
			continue
		}
		l, err := e.Lease()
		if err != nil || l.Lease != e.LeaseID || l.Tenant != "acme" || l.Amount != 500 {
			t.Errorf("%s: %+v, %v", e.Type, l, err)
		}
		seen[e.Type] = true
	}
	for _, typ := range api.LeaseEventTypes() {
		if !seen[typ] {
			t.Errorf("no event %s", typ)
		}
		delete(seen, typ)
	}
	if len(seen) > 0 || slices.Contains(api.LeaseEventTypes(), "") {
		t.Errorf("events that are in no list: %v", seen)
	}
}
