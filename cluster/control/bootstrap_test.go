package control

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker/attest"
	"github.com/grafos/grafos/capbroker/attest/attesttest"
	"github.com/grafos/grafos/capbroker/issuer"
	"github.com/grafos/grafos/capbroker/jwks"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/fsm"
)

// foreign is an issuer that a rig trusts: what it returns makes tokens with a jti.
func (r *rig) foreign(name string, providers ...api.ProviderID) (issuer.Config, func(jti string, more map[string]any) string) {
	r.t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	doc, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: pub, KeyID: "k"}}})
	if err != nil {
		r.t.Fatal(err)
	}
	sg, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		r.t.Fatal(err)
	}
	keys := jwks.NewSource(func(context.Context) ([]byte, error) { return doc, nil }, clock.System())
	return issuer.Config{Issuer: name, Keys: keys, Providers: providers}, func(jti string, more map[string]any) string {
		c := map[string]any{"iss": name, "aud": "g-test", "jti": jti, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
		maps.Copy(c, more)
		token, err := jwt.Signed(sg).Claims(c).Serialize()
		if err != nil {
			r.t.Fatal(err)
		}
		return token
	}
}

func (r *rig) trusts(all ...issuer.Config) {
	r.t.Helper()
	is, err := issuer.New("g-test", all)
	if err != nil {
		r.t.Fatal(err)
	}
	r.c.cfg.Issuers = is
}

// A token of another issuer brings in one key, as one of ours, and an issuer spends only its own ids.
func TestBootstrapByAnotherIssuer(t *testing.T) {
	r := newRig(t)
	m := r.material()
	ci, ciToken := r.foreign("https://ci.example.com", "aws")
	cloud, cloudToken := r.foreign("https://cloud.example.com", "gcp")
	r.trusts(ci, cloud)
	ask := func(token string, p api.ProviderID, cell api.CellID, csr string) error {
		_, err := r.c.Bootstrap(t.Context(), api.BootstrapRequest{Token: token, Provider: p, CellID: cell, CSR: csr})
		return err
	}
	r.wantKind("in a cluster that cannot write of it", ask(ciToken("t1", nil), "aws", "c1", csr(t)), api.Conflict)
	r.must(fsm.RaiseLevel{Level: 2})
	mine := csr(t)
	token := ciToken("t1", map[string]any{"cell_id": "c1"})
	for range 2 { // also a lost answer
		if err := ask(token, "aws", "c1", mine); err != nil {
			t.Fatal(err)
		}
	}
	r.wantKind("another key", ask(token, "aws", "c1", csr(t)), api.BootstrapTokenUsed)
	r.wantKind("the same id in another token", ask(ciToken("t1", nil), "aws", "c2", csr(t)), api.BootstrapTokenUsed)
	r.wantKind("another cell", ask(ciToken("t2", map[string]any{"cell_id": "c1"}), "aws", "c2", csr(t)), api.BootstrapTokenInvalid)
	r.wantKind("another provider", ask(ciToken("t2", nil), "gcp", "c2", csr(t)), api.BootstrapTokenInvalid)
	r.wantKind("another provider, and it says so", ask(ciToken("t2", map[string]any{"provider": "gcp"}), "gcp", "c2", csr(t)), api.BootstrapTokenInvalid)
	if err := ask(cloudToken("t1", nil), "gcp", "g1", csr(t)); err != nil {
		t.Errorf("another issuer's token of the same id: %v", err)
	}
	own, err := m.MintBootstrap(pki.BootstrapClaims{ID: "t1", Provider: "aws"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(own, "aws", "c3", csr(t)); err != nil {
		t.Errorf("a token of the cluster's own of the same id: %v", err)
	}
	r.c.cfg.Issuers = nil
	r.wantKind("nobody else is trusted", ask(ciToken("t3", nil), "aws", "c4", csr(t)), api.BootstrapTokenInvalid)
	if !strings.Contains(r.log.String(), "https://ci.example.com") {
		t.Error("the log does not say whose token it was")
	}
}

// A provider that requires evidence takes no host without it, nor a new cell whose certificate came
// another way; what was proved stands in the cell's record.
func TestBootstrapWithEvidence(t *testing.T) {
	r := newRig(t)
	m := r.material()
	r.must(fsm.RaiseLevel{Level: 2})
	root, err := attesttest.Root("aws", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	doc := func(account, instance string) *api.EvidenceDocument {
		t.Helper()
		d, err := attesttest.AWS(root, account, instance, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return &api.EvidenceDocument{Kind: api.EvidenceAWS, Document: d}
	}
	ask := func(p api.ProviderID, cell api.CellID, d *api.EvidenceDocument) (api.Caller, error) {
		t.Helper()
		token, err := m.MintBootstrap(pki.BootstrapClaims{Provider: p})
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.c.Bootstrap(t.Context(), api.BootstrapRequest{Token: token, Provider: p, CellID: cell, CSR: csr(t), Evidence: d})
		if err != nil {
			return api.Caller{}, err
		}
		return callerOf(t, a.Certificate), nil
	}
	refused := func(reason string, p api.ProviderID, cell api.CellID, d *api.EvidenceDocument) {
		t.Helper()
		_, err := ask(p, cell, d)
		if q, ok := api.AsError(err); !ok || q.Kind != api.AttestationFailed || q.Reason != reason || q.Hint == "" {
			t.Errorf("%s: %v", reason, err)
		}
	}
	refused(api.AttestationUnwanted, "aws", "c1", doc("1", "i-1"))
	before, err := ask("aws", "c0", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.c.cfg.Evidence, err = attest.NewPolicies([]attest.Policy{{
		Provider: "aws", Level: attest.Require, Kind: api.EvidenceAWS, Roots: attest.Roots{Certificates: []*x509.Certificate{root.Cert}}, Accounts: []string{"1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	refused(api.AttestationMissing, "aws", "c1", nil)
	refused(api.AttestationAccount, "aws", "c1", doc("2", "i-1"))
	refused(api.AttestationInvalid, "aws", "c1", &api.EvidenceDocument{Kind: api.EvidenceAWS, Document: "AAAA"})
	if _, err := ask("gcp", "g1", nil); err != nil {
		t.Errorf("another provider: %v", err)
	}
	c1, err := ask("aws", "c1", doc("1", "i-1"))
	if err != nil {
		t.Fatal(err)
	}
	refused(api.AttestationUsed, "aws", "c2", doc("1", "i-1"))
	if err := r.registerAs(c1); err != nil {
		t.Fatal(err)
	}
	if c, _ := r.m.View().Cell("c1"); c.Attestation.Instance != "i-1" || c.Attestation.Account != "1" {
		t.Errorf("the record has %+v", c.Attestation)
	}
	// A certificate of before, or one that was made where the material is, makes no new cell.
	_, err = r.c.Register(api.WithCaller(t.Context(), before), api.RegisterRequest{Provider: "aws", CellID: "c0", Agent: "a", BrokerKey: "bb"})
	r.wantKind("a new cell without evidence", err, api.AttestationFailed)
	if err := r.registerAs(c1); err != nil {
		t.Errorf("a registered one again: %v", err)
	}
	// What another provider was content with, and another provider's cell, are nothing here.
	r.must(fsm.UseToken{
		Actor: "bootstrap", JTI: "of-gcp", Purpose: fsm.PurposeBootstrap, Uses: 1, Expires: time.Now().Add(time.Hour).Unix(), Provider: "gcp", Cell: "c9", SPKI: "k9",
		Evidence: api.Evidence{Kind: api.EvidenceAWS, Account: "2", Instance: "i-9"},
	})
	r.wantKind("attested for another provider", r.c.vouchedFor(api.Caller{Role: api.RoleCell, Provider: "aws", Cell: "c9", SPKI: "k9"}), api.AttestationFailed)
	r.must(fsm.RegisterCell{
		Actor: "cell/gcp/g1", Provider: "gcp", Cell: "g1", Identity: api.Identity{SPKI: "k1", Serial: "01", NotAfter: time.Now().Add(time.Hour).Unix()}, Agent: "a", BrokerKey: "bb",
	})
	r.wantKind("another provider's cell", r.c.vouchedFor(api.Caller{Role: api.RoleCell, Provider: "aws", Cell: "g1", SPKI: "k1"}), api.AttestationFailed)
}
