package fsm

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// registerAs registers an agent under a key.
func registerAs(cell api.CellID, agent, key string) RegisterCell {
	c := register("aws", cell, agent)
	c.Identity.SPKI = key
	return c
}

func renewTo(cell api.CellID, from, to string) RenewIdentity {
	return RenewIdentity{Actor: "cell/aws/" + string(cell), Provider: "aws", Cell: cell, From: from, To: api.Identity{SPKI: to, Serial: "09", NotAfter: 4_000_000_000}}
}

func bootstrapped(jti string, cell api.CellID, key string) UseToken {
	return UseToken{Actor: "cell", JTI: jti, Purpose: PurposeBootstrap, Uses: 1, Expires: 4_000_000_000, Provider: "aws", Cell: cell, SPKI: key}
}

func (r *rig) cell(id api.CellID) api.CellRecord {
	r.t.Helper()
	c, ok := r.m.View().Cell(id)
	if !ok {
		r.t.Fatalf("cell %s does not exist", id)
	}
	return c
}

func (r *rig) holds(id api.CellID, key string, want bool) {
	r.t.Helper()
	c := r.cell(id)
	if got := r.m.View().HoldsKey(&c, key); got != want {
		r.t.Errorf("key %s speaks for %s: %v", key, id, got)
	}
}

// newKeys is a cluster at the level of bound keys, with a cell aws-7 under key-a.
func newKeys(t *testing.T) *rig {
	t.Helper()
	r := newRig(t).cluster()
	r.must(RaiseLevel{Level: levelKeys})
	r.must(registerAs("aws-7", "agent-1", "key-a"))
	return r
}

// A cell is bound to its key. A renewed one takes its place only when the cell registers under it, so
// that a certificate which was lost on its way locks nobody out, and the one before is taken for a while.
func TestRenewIdentity(t *testing.T) {
	r := newKeys(t)
	r.refused(api.IdentityMismatch, registerAs("aws-7", "agent-2", "key-x"))
	r.refused(api.IdentityMismatch, renewTo("aws-7", "key-x", "key-b"))
	r.refused(api.NotFound, renewTo("aws-8", "key-a", "key-b"))
	r.refused(api.InvalidArgument, renewTo("aws-7", "key-a", ""))

	before := len(r.audit)
	r.must(renewTo("aws-7", "key-a", "key-lost"))
	r.must(renewTo("aws-7", "key-a", "key-b"))
	if got := r.audited(before); len(got) != 2 || got[0] != "cell_identity_renewed" {
		t.Errorf("audited %v", got)
	}
	r.holds("aws-7", "key-a", true)
	r.holds("aws-7", "key-b", false)
	r.must(registerAs("aws-7", "agent-1", "key-a")) // a restart that has lost the answer
	r.refused(api.IdentityMismatch, registerAs("aws-7", "agent-1", "key-lost"))

	if res := r.must(registerAs("aws-7", "agent-1", "key-b")); res.CellEpoch != 1 {
		t.Errorf("the renewed agent is at epoch %d", res.CellEpoch)
	}
	r.holds("aws-7", "key-b", true)
	r.holds("aws-7", "key-a", true)
	r.refused(api.IdentityMismatch, registerAs("aws-7", "agent-2", "key-a"))
	r.refused(api.IdentityMismatch, renewTo("aws-7", "key-a", "key-c"))
	r.pass(api.IdentityOverlap + time.Second)
	r.holds("aws-7", "key-a", false)
	r.holds("aws-7", "", false)

	// With its own key, after an outage.
	r.must(renewTo("aws-7", "key-b", "key-b"))
	longer := registerAs("aws-7", "agent-1", "key-b")
	longer.Identity.NotAfter++
	r.must(longer)
	if c := r.cell("aws-7"); c.Identity != longer.Identity || c.Next != (api.Identity{}) {
		t.Errorf("%+v", c)
	}
}

// Below its level a cell is bound to no key, as the release before has it.
func TestKeysBelowTheirLevel(t *testing.T) {
	r := newRig(t).cluster()
	r.must(registerAs("aws-7", "agent-1", "key-a"))
	r.must(registerAs("aws-7", "agent-1", "key-b"))
	r.refused(api.Conflict, renewTo("aws-7", "key-b", "key-c"))
	if c := r.cell("aws-7"); c.Previous != (api.Identity{}) || c.Next != (api.Identity{}) || c.PreviousUntil != 0 {
		t.Errorf("fields of a later level: %+v", c)
	}
}

// A bootstrap token brings a new key to a cell that has one, also when its answer was lost.
func TestBootstrapRebinds(t *testing.T) {
	r := newKeys(t)
	r.must(bootstrapped("t1", "aws-7", "key-b"))
	if r.m.View().TokenUsedAt("t1", "key-b") == 0 || r.m.View().TokenUsedAt("t1", "key-x") != 0 || r.m.View().TokenUsedAt("t2", "key-b") != 0 {
		t.Error("it is not known when the token was used")
	}
	r.holds("aws-7", "key-b", false)
	r.must(renewTo("aws-7", "key-a", "key-c")) // the old host goes on
	r.refused(api.IdentityMismatch, registerAs("aws-7", "agent-2", "key-b"))
	if res := r.must(bootstrapped("t1", "aws-7", "key-b")); !res.Replayed {
		t.Error("the same use is another one")
	}
	r.must(registerAs("aws-7", "agent-2", "key-b"))
	r.holds("aws-7", "key-b", true)
	r.refused(api.IdentityMismatch, registerAs("aws-7", "agent-1", "key-c"))
}

// What is revoked stays so for every key that the cell had, under every name.
func TestBarredKeys(t *testing.T) {
	r := newKeys(t)
	r.must(renewTo("aws-7", "key-a", "key-b"))
	r.must(registerAs("aws-7", "agent-1", "key-b"))
	r.must(renewTo("aws-7", "key-b", "key-c"))
	r.must(RevokeCell{Provider: "aws", Cell: "aws-7", Now: true})
	for n, key := range []string{"key-a", "key-b", "key-c"} {
		if !r.m.View().KeyBarred(key) {
			t.Errorf("%s is not barred", key)
		}
		r.refused(api.IdentityRevoked, registerAs("aws-7", "agent-2", key))
		r.refused(api.IdentityRevoked, registerAs("aws-8", "agent-2", key))
		r.refused(api.IdentityRevoked, bootstrapped(fmt.Sprint("t", n), "aws-8", key))
		r.refused(api.IdentityRevoked, renewTo("aws-7", key, "key-d"))
		r.refused(api.IdentityRevoked, renewTo("aws-1", r.cell("aws-1").Identity.SPKI, key))
	}
	r.must(registerAs("aws-8", "agent-2", "key-d"))
	again, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, r.m.View())))
	if err != nil || !again.KeyBarred("key-a") || again.KeyBarred("key-d") {
		t.Errorf("from a snapshot: %v", err)
	}
}

// After a recovery, or a restore, a cell may have a key that the state has forgotten: it registers
// under it once, and is bound to it.
func TestKeysAfterARecovery(t *testing.T) {
	r := newKeys(t)
	r.must(Recovered{ID: "rec-1", Actor: "operator/root", Node: "s1"})
	if c := r.cell("aws-7"); !r.m.View().Keyless(&c) {
		t.Error("it is bound to a key of before")
	}
	r.must(registerAs("aws-7", "agent-1", "key-new"))
	r.refused(api.IdentityMismatch, registerAs("aws-7", "agent-2", "key-a"))
	r.must(Recovered{ID: "rec-2", Actor: "operator/root", Node: "s1"})
	r.must(registerAs("aws-7", "agent-1", "key-new"))
	r.refused(api.IdentityMismatch, registerAs("aws-7", "agent-2", "key-a"))
}

// A revocation of another state is put into this one, whatever it knows of the cell.
func TestBarAgain(t *testing.T) {
	from := newKeys(t)
	from.must(registerAs("aws-8", "agent-1", "key-8"))
	from.must(RevokeCell{Provider: "aws", Cell: "aws-7", Now: true})
	from.must(RevokeCell{Provider: "aws", Cell: "aws-8", Now: true})
	bars := from.m.View().Revocations("operator/root")
	if len(bars) != 2 {
		t.Fatalf("revocations %+v", bars)
	}
	bars = append(bars, BarCell{Provider: "mars", Cell: "mars-1", Again: true, Keys: []string{"key-m", "key-m", ""}})

	r := newRig(t).cluster()
	r.refused(api.Conflict, bars[0]) // below its level
	r.must(RaiseLevel{Level: levelKeys})
	r.must(registerAs("aws-7", "agent-9", "key-old"))
	yes := yes
	r.must(ReportCell{Cell: "aws-7", Epoch: 1, Inventory: &api.InventoryReport{Capacity: api.Resources{CPU: 1000}}})
	r.must(ChangeHealth{Changes: []HealthChange{{Cell: "aws-7", Epoch: 1, Healthy: yes, Outbound: yes}}})
	for _, b := range bars {
		if !r.m.View().Forgets(b) {
			t.Errorf("%s is barred already", b.Cell)
		}
		r.must(b)
		if res := r.must(b); res.Changed || r.m.View().Forgets(b) {
			t.Errorf("again: changed %v", res.Changed)
		}
		c := r.cell(b.Cell)
		if !c.Revoked || r.m.View().CellState(c) != api.CellRevoked {
			t.Errorf("%s is %s", b.Cell, r.m.View().CellState(c))
		}
	}
	for _, key := range []string{"key-a", "key-old", "key-8", "key-m"} {
		if !r.m.View().KeyBarred(key) {
			t.Errorf("%s is not barred", key)
		}
	}
	r.refused(api.IdentityRevoked, registerAs("aws-8", "agent-1", "key-new"))
	for _, err := range Check(r.m.View()) {
		t.Error(err)
	}
	tooMany := BarCell{Provider: "aws", Cell: "aws-7", Again: true, Keys: make([]string, maxKeysOfCell+1)}
	r.refused(api.TooLarge, tooMany)
}

// A revoked cell keeps its newest keys only, and a state that is built from its records bars the same ones.
func TestKeysOfARevokedCellAreBounded(t *testing.T) {
	r := newRig(t).cluster()
	r.must(RaiseLevel{Level: levelKeys})
	keys := func(of string) []string {
		var all []string
		for n := range maxBarredKeys {
			all = append(all, fmt.Sprintf("%s-%d", of, n))
		}
		return all
	}
	r.must(BarCell{Provider: "aws", Cell: "aws-8", Again: true, Keys: []string{"first-1"}})
	r.must(BarCell{Provider: "aws", Cell: "aws-7", Again: true, Keys: keys("first")})
	r.must(BarCell{Provider: "aws", Cell: "aws-7", Again: true, Keys: keys("second")})
	v := r.m.View()
	for key, want := range map[string]bool{"first-0": false, "first-1": true, "second-0": true, "second-63": true} {
		if v.KeyBarred(key) != want {
			t.Errorf("key %s is barred: %v", key, !want)
		}
	}
	// What is carried into a state that does not know the cell keeps the cell's own key the longest.
	full := api.CellRecord{BarredKeys: keys("lost"), Identity: api.Identity{SPKI: "own"}, Previous: api.Identity{SPKI: "before"}}
	other := newRig(t).cluster()
	other.must(RaiseLevel{Level: levelKeys})
	other.must(BarCell{Provider: "aws", Cell: "aws-9", Again: true, Keys: byAge(&full)})
	for key, want := range map[string]bool{"lost-0": false, "lost-1": false, "lost-2": true, "before": true, "own": true} {
		if other.m.View().KeyBarred(key) != want {
			t.Errorf("carried over, key %s is barred: %v", key, !want)
		}
	}
	again, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, v)))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range append(keys("first"), keys("second")...) {
		if again.KeyBarred(key) != v.KeyBarred(key) {
			t.Errorf("key %s is barred: %v, read from a snapshot %v", key, v.KeyBarred(key), again.KeyBarred(key))
		}
	}
	for _, err := range Check(v) {
		t.Error(err)
	}
}
