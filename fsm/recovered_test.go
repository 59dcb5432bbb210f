package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// A recovery jumps the fencing numbers so far that none is given twice, however much was lost,
// and says so in the audit chain; told again it is the same recovery.
func TestRecovered(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grant(cpu("l1", 1)))
	before := len(r.audit)
	rec := Recovered{ID: "rec-1", Actor: "operator/root", Node: "s2", Index: 17, Term: 3, Reason: "two disks were lost"}
	if res := r.must(rec); !res.Changed {
		t.Error("it changed nothing")
	}
	if got := r.audited(before); len(got) != 1 || got[0] != "cluster_recovered" {
		t.Fatalf("audited %v", got)
	}
	var fact RecoveryFact
	if err := json.Unmarshal(r.audit[before].Data, &fact); err != nil {
		t.Fatal(err)
	}
	want := RecoveryFact{ID: "rec-1", Node: "s2", Index: 17, Term: 3, ClusterEpoch: 1, Before: 1, After: 1 + 1<<32, Reason: rec.Reason}
	if fact != want || r.audit[before].Identity != "operator/root" {
		t.Errorf("the chain says %+v by %s, want %+v", fact, r.audit[before].Identity, want)
	}
	rec.Reason = "again"
	if res := r.must(rec); res.Changed || r.m.View().ClusterEpoch() != 1 || !recovered(r.m.View(), "rec-1") {
		t.Error("told again it was another recovery")
	}
	r.must(grant(cpu("l2", 1)))
	if l := r.lease("l2"); l.Epoch != 2+1<<32 {
		t.Errorf("the next lease has the number %d", l.Epoch)
	}
	// It is in the state: a node that comes from a snapshot knows it too.
	v, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, r.m.View())))
	if err != nil || v.ClusterEpoch() != 1 || v.Epoch() != 2+1<<32 || !recovered(v, "rec-1") || recovered(v, "rec-2") {
		t.Errorf("from a snapshot: %v", err)
	}
	r.refused(api.InvalidArgument, Recovered{})
	r.refused(api.TooLarge, Recovered{ID: "rec-2", Reason: strings.Repeat("x", maxReason+1)})
}

func recovered(v *View, name string) bool {
	_, found := v.Recovery(name)
	return found
}

// TestRecoveryNames: a recovery is found by its name, whatever its id says more, also where only
// a later step of it is remembered.
func TestRecoveryNames(t *testing.T) {
	r := newRig(t).cluster()
	for _, id := range []string{"rst-1", "rst-2-aa", "rst-2-aa.1", "rst-3-bb.7", "rst-44-cc"} {
		r.must(Recovered{ID: id})
	}
	for name, want := range map[string]string{"rst-1": "rst-1", "rst-2": "rst-2-aa", "rst-3": "rst-3-bb", "rst-4": "", "rst-44": "rst-44-cc", "rst-5": ""} {
		if id, found := r.m.View().Recovery(name); id != want || found != (want != "") {
			t.Errorf("%s is %q, %v, want %q", name, id, found, want)
		}
	}
}

func TestRecoveriesAreBounded(t *testing.T) {
	r := newRig(t).cluster()
	for i := range maxRecoveries + 3 {
		r.must(Recovered{ID: fmt.Sprintf("rec-%d", i)})
	}
	v := r.m.View()
	if v.ClusterEpoch() != maxRecoveries+3 || len(v.meta.Recoveries) != maxRecoveries || recovered(v, "rec-2") || !recovered(v, "rec-3") {
		t.Errorf("cluster epoch %d, recoveries %v", v.ClusterEpoch(), v.meta.Recoveries)
	}
	r.m.state.meta.Epoch = math.MaxUint64 - 5
	r.refused(api.Conflict, Recovered{ID: "one-more"})
}
