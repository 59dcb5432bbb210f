package fsm

import (
	"bytes"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func vouched(jti string, cell api.CellID, key, instance string) UseToken {
	c := bootstrapped(jti, cell, key)
	c.Evidence = api.Evidence{Kind: api.EvidenceAWS, Account: "123456789012", Instance: instance, Region: "eu-west-1", Issued: time.Unix(1_700_000_000, 0).UTC()}
	return c
}

func (r *rig) proved(id api.CellID, instance string) {
	r.t.Helper()
	c := r.cell(id)
	if c.Attestation.Instance != instance || (instance != "") != !c.Attestation.Attested.IsZero() {
		r.t.Errorf("of %s is proved: %+v, want instance %q", id, c.Attestation, instance)
	}
	if shown := r.m.View().Show(c).Attestation; (shown != nil) != (instance != "") {
		r.t.Errorf("of %s is shown: %+v", id, shown)
	}
}

// What a cloud proves of a host goes with the key that it was proved for, and with its renewals, to the
// cell; an instance vouches for one cell, for ever.
func TestEvidence(t *testing.T) {
	r := newRig(t).cluster()
	r.refused(api.Conflict, vouched("t0", "aws-7", "key-a", "i-1")) // below its level
	r.must(RaiseLevel{Level: levelKeys})
	r.must(vouched("t1", "aws-7", "key-a", "i-1"))
	if v := r.m.View(); !v.Attested("aws", "aws-7", "key-a") || v.Attested("aws", "aws-8", "key-a") || v.Attested("aws", "aws-7", "key-b") {
		t.Error("another key, or another cell, is attested")
	}
	again := vouched("t1", "aws-7", "key-a", "i-1")
	if res := r.must(again); !res.Replayed {
		t.Error("the same use is another one")
	}
	r.must(registerAs("aws-7", "agent-1", "key-a"))
	r.proved("aws-7", "i-1")

	r.must(renewTo("aws-7", "key-a", "key-b"))
	r.must(registerAs("aws-7", "agent-1", "key-b"))
	r.proved("aws-7", "i-1")

	// The document again, for another cell; and its spoiled try spends nothing.
	if p := r.refusal(api.AttestationFailed, vouched("t2", "aws-8", "key-c", "i-1")); p.Reason != api.AttestationUsed {
		t.Errorf("%+v", p)
	}
	r.must(vouched("t2", "aws-8", "key-c", "i-2"))
	r.must(registerAs("aws-8", "agent-1", "key-c"))
	r.proved("aws-8", "i-2")
	// Of another account it is another instance.
	other := vouched("t3", "aws-9", "key-d", "i-1")
	other.Evidence.Account = "999999999999"
	r.must(other)

	// The host of the same cell is bootstrapped anew, with and without evidence.
	r.must(vouched("t4", "aws-7", "key-e", "i-1"))
	r.must(registerAs("aws-7", "agent-2", "key-e"))
	r.proved("aws-7", "i-1")
	r.must(bootstrapped("t5", "aws-7", "key-f"))
	r.must(registerAs("aws-7", "agent-3", "key-f"))
	r.proved("aws-7", "")
	// Evidence for the key that the cell has, later.
	late := vouched("t5", "aws-7", "key-f", "i-1")
	r.must(late)
	r.must(registerAs("aws-7", "agent-3", "key-f"))
	r.proved("aws-7", "i-1")
	r.must(RevokeCell{Provider: "aws", Cell: "aws-7", Now: true})
	r.refused(api.AttestationFailed, vouched("t6", "aws-10", "key-g", "i-1"))

	r.pass(attestedFor + 48*time.Hour)
	for n := range 40 {
		r.must(registerAs("aws-8", "agent-1", "key-c"))
		r.pass(time.Duration(n) * time.Second)
		r.must(Tick{})
	}
	r.refused(api.AttestationFailed, vouched("t7", "aws-11", "key-h", "i-2"))
	v, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, r.m.View())))
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := v.Cell("aws-8"); !ok || c.Attestation.Instance != "i-2" {
		t.Errorf("from a snapshot: %+v", c.Attestation)
	}
	if tok, ok := v.Token(instanceID(&api.Evidence{Kind: "aws", Account: "123456789012", Instance: "i-1"})); !ok || tok.Cell != "aws-7" {
		t.Errorf("from a snapshot: %+v", tok)
	}
}

// A key that vouched evidence brought in for two cells is of the second; the indexes stand.
func TestEvidenceOfOneKeyTwice(t *testing.T) {
	r := newKeys(t)
	r.must(vouched("t1", "aws-8", "key-c", "i-1"))
	r.pass(time.Hour)
	r.must(vouched("t2", "aws-9", "key-c", "i-2"))
	if v := r.m.View(); v.Attested("aws", "aws-8", "key-c") || !v.Attested("aws", "aws-9", "key-c") {
		t.Error("the key is attested for a cell that it is not of")
	}
	if err := Check(r.m.View()); err != nil {
		t.Error(err)
	}
}

// What a cloud proved is proved to one provider: another's policy may ask for more, so it counts for
// nothing there.
func TestEvidenceIsOfOneProvider(t *testing.T) {
	r := newRig(t).cluster()
	r.must(RaiseLevel{Level: levelKeys})
	r.must(vouched("t1", "c-7", "key-a", "i-1"))
	if v := r.m.View(); !v.Attested("aws", "c-7", "key-a") || v.Attested("gcp", "c-7", "key-a") {
		t.Error("the key is attested for another provider")
	}
	elsewhere := vouched("t2", "c-7", "key-b", "i-1")
	elsewhere.Provider = "gcp"
	r.refused(api.AttestationFailed, elsewhere)
	as := registerAs("c-7", "agent-1", "key-a")
	as.Provider = "gcp"
	r.must(as)
	r.proved("c-7", "")
}
