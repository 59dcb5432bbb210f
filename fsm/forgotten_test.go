package fsm

import "testing"

// A view never changes: it finds leases and keys that were forgotten since, also when the
// indexes, which all views share, have forgotten them too.
func TestOldViewsFindWhatWasForgotten(t *testing.T) {
	r := smallState(t)
	old, s := r.m.View(), r.m.state
	key, _ := old.IdemKey("acme", "k")
	if key.Key == "" || len(key.Leases) == 0 {
		t.Fatal("there is no key with leases")
	}
	lease, _ := old.Lease(key.Leases[0])
	find := func(v *View) (both int) {
		if l, ok := v.Lease(lease.ID); ok && l == lease {
			both++
		}
		if k, ok := v.IdemKey("acme", "k"); ok && k.Index == key.Index {
			both++
		}
		return both
	}
	s.meta.Index++
	s.dropLease(serial(lease.Epoch))
	rec, _ := s.keys.get("acme", "k", s.meta.Index)
	s.dropKey(rec)
	now := s.publish()
	if find(old) != 2 || find(now) != 0 {
		t.Fatalf("at once: %d of 2 in the old view, %d in the new one", find(old), find(now))
	}
	for s.leases.byID.Cleared() == 0 || s.keys.byKey.Cleared() == 0 {
		s.leases.byID.Remove(s.meta.Index, 0, 0)
		s.keys.byKey.Remove(s.meta.Index, 0, 0)
	}
	if find(old) != 2 || find(now) != 0 {
		t.Fatalf("later: %d of 2 in the old view, %d in the new one", find(old), find(now))
	}
}
