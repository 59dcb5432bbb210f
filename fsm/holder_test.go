package fsm

import (
	"bytes"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// A holder that a grant names is in its leases, and stays there: only a cluster whose members
// all know it takes such a grant.
func TestGrantToAHolder(t *testing.T) {
	const key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"
	r := newRig(t).cluster()
	g := grant(cpu("l1", 1))
	if LevelOf(g) != 1 {
		t.Error("a grant to nobody needs another level")
	}
	g.Holder = key
	if LevelOf(g) != 2 {
		t.Error("a grant to a holder needs no other level")
	}
	for _, bad := range []string{"me", key[1:], key + "A", strings.Replace(key, "A", "\n", 1), key[:42] + "B"} {
		g.Holder = bad
		if p := g.check(); kindOf(p) != api.InvalidArgument {
			t.Errorf("holder %q is answered %v", bad, p)
		}
	}
	g.Holder = key
	entry, err := EncodeEntry(Entry{Commands: []Command{g}})
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeEntry(entry)
	if err != nil {
		t.Fatal(err)
	}
	if again, ok := back.Commands[0].(*GrantLeases); !ok || again.Holder != key {
		t.Fatalf("it comes back as %+v", back)
	}
	r.refused(api.Conflict, g) // below its level
	r.must(RaiseLevel{Level: 2})
	r.must(g)
	if l := r.lease("l1"); l.Holder != key {
		t.Errorf("the lease is %+v", l)
	}
	again, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, r.m.View())))
	if err != nil || again.Fingerprint() != r.m.View().Fingerprint() {
		t.Errorf("read from a snapshot: %v", err)
	}
}
