package integration

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/attest/attesttest"
)

// lone is a cluster of one scheduler that was started by hand, as an operator does.
type lone struct {
	t    *testing.T
	dir  string
	bin  string
	id   string // the cluster's
	pin  string // of its CA
	url  string
	args []string // what an operator's commands begin with
}

// newLone makes the material and an operator's certificate; start starts the scheduler.
func newLone(t *testing.T) *lone {
	t.Helper()
	l := &lone{t: t, dir: t.TempDir(), bin: binary(t)}
	var ca struct {
		ClusterID string `json:"cluster_id"`
		CAPin     string `json:"ca_pin"`
	}
	oneDocument(t, l.must("admin", "init-ca", "--out", l.file("material"), "--json"), &ca)
	l.id, l.pin = ca.ClusterID, ca.CAPin
	l.must("admin", "issue-cert", "--material", l.file("material"), "--role", "operator", "--name", "root", "--out", l.file("root"))
	return l
}

func (l *lone) file(name string) string { return filepath.Join(l.dir, name) }

func (l *lone) write(name, text string) string {
	l.t.Helper()
	if err := os.WriteFile(l.file(name), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return l.file(name)
}

// run runs the binary and returns what it said, and how it ended.
func (l *lone) run(args ...string) (stdout, stderr []byte, code int) {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), l.bin, args...)
	cmd.Dir = l.dir
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out, exit.Stderr, exit.ExitCode()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return out, nil, 0
}

func (l *lone) must(args ...string) []byte {
	l.t.Helper()
	out, said, code := l.run(args...)
	if code != 0 {
		l.t.Fatalf("grafos %s: exit %d: %s", strings.Join(args, " "), code, said)
	}
	return out
}

// spawn starts a node that runs until the test ends.
func (l *lone) spawn(name string, args ...string) {
	l.t.Helper()
	log, err := os.Create(l.file(name + ".log"))
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.CommandContext(l.t.Context(), l.bin, args...)
	cmd.Dir, cmd.Stderr = l.dir, log
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		_ = log.Close()
		if l.t.Failed() {
			if b, err := os.ReadFile(log.Name()); err == nil {
				l.t.Logf("%s:\n%s", name, b[max(0, len(b)-4000):])
			}
		}
	})
}

// start starts the scheduler and waits until it leads.
func (l *lone) start(more ...string) {
	l.t.Helper()
	addr := freePort(l.t)
	l.url = "https://" + addr
	l.args = []string{"--fabric", l.url, "--ca", l.file("root/ca.pem"), "--cert", l.file("root/cert.pem"), "--key", l.file("root/key.pem"), "--json"}
	l.spawn("s1", append([]string{
		"server", "--name", "s1", "--data-dir", l.file("data"), "--material", l.file("material"), "--bind", addr,
		"--raft-bind", freePort(l.t), "--gossip-bind", freePort(l.t), "--bootstrap-expect", "1", "--providers", "aws,gcp,azure",
		"--heartbeat", "250ms", "--heartbeat-limit", "3s", "--warmup", "1s",
	}, more...)...)
	eventually(l.t, 30*time.Second, func() string {
		_, said, code := l.run(append(l.args, "provider", "list")...)
		if code != 0 {
			return string(said)
		}
		return ""
	})
}

// join is the command that makes a host a cell.
func (l *lone) join(provider, cell, token string, more ...string) []string {
	l.t.Helper()
	return append([]string{
		"cloud", "bootstrap-cell", "--provider", provider, "--cell-id", cell, "--token-file", l.write("token-"+cell, token),
		"--scheduler", l.url, "--ca-pin", l.pin, "--dir", l.file(cell), "--json",
	}, more...)
}

func (l *lone) refused(kind api.Kind, words string, args ...string) {
	l.t.Helper()
	_, said, code := l.run(args...)
	if code == 0 {
		l.t.Errorf("grafos %s: not refused", strings.Join(args, " "))
		return
	}
	if p := checkProblem(l.t, said, kind, words); p.Hint == "" {
		l.t.Errorf("%s: it does not say what to do", p.Detail)
	}
}

// theCell runs an agent until the cell is ready, and returns it as the operator sees it.
func (l *lone) theCell(provider, cell string) api.Cell {
	l.t.Helper()
	l.spawn(cell, "cell-agent", "--identity", l.file(cell), "--data-dir", l.file(cell+"-data"), "--data-bind", "127.0.0.1:0", "--data-advertise", "127.0.0.1:1")
	var c api.Cell
	eventually(l.t, 30*time.Second, func() string {
		out, said, code := l.run(append(l.args, "provider", "status", provider)...)
		var s api.ProviderStatus
		if code != 0 || json.Unmarshal(out, &s) != nil {
			return string(said)
		}
		for _, c = range s.Cells {
			if string(c.CellID) == cell && c.Ready {
				return ""
			}
		}
		return fmt.Sprintf("%+v", s.Cells)
	})
	return c
}

// testIssuer signs tokens as somebody's identity provider does.
type testIssuer struct {
	t    *testing.T
	name string
	key  crypto.Signer
	jwks string
}

func newTestIssuer(t *testing.T, name string) *testIssuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Use: "sig", Algorithm: "ES256"}}})
	if err != nil {
		t.Fatal(err)
	}
	return &testIssuer{t: t, name: name, key: key, jwks: string(doc)}
}

func (i *testIssuer) token(audience, jti string, more map[string]any) string {
	i.t.Helper()
	sg, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k1"))
	if err != nil {
		i.t.Fatal(err)
	}
	c := map[string]any{"iss": i.name, "aud": audience, "jti": jti, "iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix()}
	maps.Copy(c, more)
	token, err := jwt.Signed(sg).Claims(c).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

// TestExternalIssuers: hosts become cells with the tokens of two issuers, one whose keys are a file and
// one whose keys are fetched, each for its own provider, each token once.
func TestExternalIssuers(t *testing.T) {
	t.Parallel()
	l := newLone(t)
	ci, cloud := newTestIssuer(t, "https://ci.example.com"), newTestIssuer(t, "https://cloud.example.com/realm")
	var fetched atomic.Int32
	keys := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_, _ = w.Write([]byte(cloud.jwks))
	}))
	t.Cleanup(keys.Close)
	l.write("ci.json", ci.jwks)
	l.write("keys-ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: keys.Certificate().Raw})))
	trust := l.write("trust.toml", `
[[issuer]]
issuer    = "https://ci.example.com"
jwks_file = "ci.json"
providers = ["aws"]
max_ttl   = "15m"
require   = { repository = "acme/infra" }

[[issuer]]
issuer        = "https://cloud.example.com/realm"
jwks_url      = "`+keys.URL+`/keys"
jwks_ca       = "keys-ca.pem"
providers     = ["gcp"]
algorithms    = ["ES256"]
cell_id_claim = "/grafos/cell"
`)
	l.start("--bootstrap-trust", trust)
	acme := map[string]any{"repository": "acme/infra"}
	cell := func(id string) map[string]any { return map[string]any{"grafos": map[string]any{"cell": id}} }

	first := ci.token(l.id, "run-1", acme)
	l.must(l.join("aws", "aws-1", first)...)
	l.must(l.join("aws", "aws-1", first)...)
	l.refused(api.BootstrapTokenUsed, "already", l.join("aws", "aws-2", first)...)
	l.must(l.join("gcp", "gcp-1", cloud.token(l.id, "run-1", cell("gcp-1")))...)
	l.refused(api.BootstrapTokenInvalid, "not trusted for it", l.join("aws", "aws-3", cloud.token(l.id, "run-2", cell("aws-3")))...)
	l.refused(api.BootstrapTokenInvalid, "not trusted for it", l.join("gcp", "gcp-2", ci.token(l.id, "run-2", acme))...)
	l.refused(api.BootstrapTokenInvalid, "gcp-1", l.join("gcp", "gcp-3", cloud.token(l.id, "run-3", cell("gcp-1")))...)
	l.refused(api.BootstrapTokenInvalid, "claim repository", l.join("aws", "aws-4", ci.token(l.id, "run-3", nil))...)
	l.refused(api.BootstrapTokenInvalid, "meant for", l.join("aws", "aws-5", ci.token("another-cluster", "run-4", acme))...)
	l.refused(api.BootstrapTokenInvalid, "does not trust", l.join("aws", "aws-6", newTestIssuer(t, "https://evil.example.com").token(l.id, "run-5", acme))...)
	if n := fetched.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	if c := l.theCell("gcp", "gcp-1"); c.Provider != "gcp" {
		t.Errorf("%+v", c)
	}
	out := string(l.must(append(l.args, "admin", "audit-query")...))
	if !strings.Contains(out, "https://ci.example.com") || !strings.Contains(out, "https://cloud.example.com/realm") {
		t.Errorf("the audit chain does not say whose tokens were used:\n%s", out)
	}
}

// metadata is the metadata services of three clouds, each as a host there sees it.
func (c *testClouds) metadata(w http.ResponseWriter, r *http.Request) {
	answer := func(doc string, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(doc))
	}
	switch {
	case r.URL.Path == "/latest/api/token" && r.Method == http.MethodPut && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
		answer("imds", nil)
	case r.URL.Path == "/latest/dynamic/instance-identity/rsa2048" && r.Header.Get("X-Aws-Ec2-Metadata-Token") == "imds":
		answer(attesttest.AWS(c.aws, "123456789012", "i-0abc", time.Now()))
	case r.URL.Path == "/computeMetadata/v1/instance/service-accounts/default/identity" && r.Header.Get("Metadata-Flavor") == "Google":
		answer(c.google.Sign(attesttest.GCPClaims("acme-prod", "4711", r.URL.Query().Get("audience"), time.Now())))
	case r.URL.Path == "/metadata/attested/document" && r.Header.Get("Metadata") == "true":
		answer(attesttest.Azure(c.azure, "sub-1", "vm-1", r.URL.Query().Get("nonce"), time.Now()))
	default:
		http.NotFound(w, r)
	}
}

// testClouds sign identity documents.
type testClouds struct {
	aws, azure *attesttest.Signer
	google     *attesttest.Google
}

// TestAttestation: hosts of three clouds become cells with their clouds' word for them, got from their
// metadata services; without it, or with another's, none does.
func TestAttestation(t *testing.T) {
	t.Parallel()
	l := newLone(t)
	c := &testClouds{}
	authority, err := attesttest.Root("Test Root", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if c.azure, err = authority.Issue("metadata.azure.com", time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if c.aws, err = attesttest.Root("aws", time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if c.google, err = attesttest.NewGoogle(); err != nil {
		t.Fatal(err)
	}
	jwks, err := c.google.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	l.write("aws.pem", string(c.aws.PEM()))
	l.write("azure.pem", string(authority.PEM()))
	l.write("google.json", string(jwks))
	l.start("--bootstrap-trust", l.write("trust.toml", `
[[attestation]]
provider = "aws"
policy   = "require"
roots    = "aws.pem"
accounts = ["123456789012"]

[[attestation]]
provider  = "gcp"
policy    = "accept"
jwks_file = "google.json"

[[attestation]]
provider = "azure"
policy   = "require"
roots    = "azure.pem"
`))
	service := httptest.NewServer(http.HandlerFunc(c.metadata))
	t.Cleanup(service.Close)
	mint := func(provider string) string {
		var a struct{ Token string }
		oneDocument(t, l.must("admin", "bootstrap-token", "--material", l.file("material"), "--provider", provider, "--json"), &a)
		return a.Token
	}
	join := func(provider, cell string, more ...string) []string {
		return l.join(provider, cell, mint(provider), more...)
	}

	l.refused(api.AttestationFailed, "requires evidence", join("aws", "aws-1")...)
	for _, p := range []string{"aws", "gcp", "azure"} {
		l.must(join(p, p+"-1", "--evidence", p, "--metadata", service.URL)...)
	}
	l.refused(api.AttestationFailed, "vouched for cell aws-1", join("aws", "aws-2", "--evidence", "aws", "--metadata", service.URL)...)
	l.must(join("gcp", "gcp-2")...) // it is accepted, not required
	l.refused(api.InvalidArgument, "metadata service", join("aws", "aws-3", "--evidence", "aws", "--metadata", "http://127.0.0.1:1")...)
	l.refused(api.InvalidArgument, "one of aws, gcp, azure", join("aws", "aws-3", "--evidence", "oracle")...)
	stale, err := attesttest.Azure(c.azure, "sub-1", "vm-2", "1234567890", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l.refused(api.AttestationFailed, "its nonce is", join("azure", "azure-2", "--evidence", "azure:"+l.write("stale.json", stale))...)
	foreign, err := attesttest.AWS(c.aws, "999999999999", "i-9", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l.refused(api.AttestationFailed, "none of those that provider aws allows", join("aws", "aws-4", "--evidence", "aws:"+l.write("foreign", foreign))...)

	cell := l.theCell("aws", "aws-1")
	e := cell.Attestation
	if e == nil || e.Account != "123456789012" || e.Instance != "i-0abc" || e.Region != "eu-west-1" || e.Image == "" || time.Since(e.Attested) > time.Minute {
		t.Errorf("of aws-1 is shown %+v", e)
	}
	if c := l.theCell("gcp", "gcp-2"); c.Attestation != nil {
		t.Errorf("of gcp-2 is shown %+v", c.Attestation)
	}
	wide := string(l.must("--fabric", l.url, "--ca", l.file("root/ca.pem"), "--cert", l.file("root/cert.pem"), "--key", l.file("root/key.pem"), "fabric", "cells", "-o", "wide"))
	if !strings.Contains(wide, "aws/123456789012/i-0abc") {
		t.Errorf("the table does not show it:\n%s", wide)
	}
}
