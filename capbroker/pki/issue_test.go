package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func TestIssueSaysWhatWasAsked(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	client := both[:1]
	for _, c := range []struct {
		id   Identity
		uri  string
		ttl  time.Duration
		uses []x509.ExtKeyUsage
	}{
		{scheduler("s1"), "spiffe://g-1/scheduler/s1", CertTTL, both},
		{cell(), "spiffe://g-1/cell/aws/aws-1", CellCertTTL, both},
		{operator("root"), "spiffe://g-1/operator/root", CertTTL, client},
		{tenant("acme"), "spiffe://g-1/tenant/acme", CertTTL, client},
		{Identity{ClusterID: "g-1", Role: api.RoleViewer, Name: "v"}, "spiffe://g-1/viewer/v", CertTTL, client},
	} {
		t.Run(c.uri, func(t *testing.T) {
			leaf := issue(t, m, CertRequest{Identity: c.id, Now: at()}).Leaf
			if len(leaf.URIs) != 1 || leaf.URIs[0].String() != c.uri {
				t.Errorf("URIs %v, want %s", leaf.URIs, c.uri)
			}
			if !leaf.NotBefore.Equal(at().Add(-5*time.Minute)) || !leaf.NotAfter.Equal(at().Add(c.ttl)) {
				t.Errorf("valid from %s to %s", leaf.NotBefore, leaf.NotAfter)
			}
			if diff := cmp.Diff(c.uses, leaf.ExtKeyUsage); diff != "" {
				t.Errorf("usage -want +got\n%s", diff)
			}
			if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || leaf.SerialNumber.Sign() <= 0 {
				t.Errorf("CA %v, usage %v, serial %v", leaf.IsCA, leaf.KeyUsage, leaf.SerialNumber)
			}
			if k, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
				t.Errorf("public key %T", leaf.PublicKey)
			}
			if err := leaf.CheckSignatureFrom(m.CA); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIssueServerNamesAndLife(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	c := issue(t, m, CertRequest{
		Identity: scheduler("s1"), DNSNames: []string{"localhost", "*.grafos.example", "s_1.lan"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		TTL: time.Hour, Now: at(),
	})
	if len(c.Certificate) != 2 || string(c.Certificate[1]) != string(m.CA.Raw) {
		t.Errorf("chain of %d, want leaf and CA", len(c.Certificate))
	}
	if err := c.Leaf.VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
	if !c.Leaf.NotAfter.Equal(at().Add(time.Hour)) {
		t.Errorf("until %s", c.Leaf.NotAfter)
	}
	long := issue(t, m, CertRequest{Identity: tenant("acme"), TTL: 100 * 365 * 24 * time.Hour})
	if !long.Leaf.NotAfter.Equal(m.CA.NotAfter) {
		t.Errorf("until %s, past the CA's %s", long.Leaf.NotAfter, m.CA.NotAfter)
	}
}

func TestIssueRefuses(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	other := operator("root")
	other.ClusterID = "g-2"
	for name, c := range map[string]struct {
		r    CertRequest
		kind api.Kind
		says string
	}{
		"no identity":        {CertRequest{}, api.InvalidArgument, "role"},
		"other cluster":      {CertRequest{Identity: other}, api.IdentityMismatch, "g-2"},
		"bad name":           {CertRequest{Identity: tenant("a/b")}, api.InvalidArgument, "tenant name"},
		"negative ttl":       {CertRequest{Identity: tenant("acme"), TTL: -time.Second}, api.InvalidArgument, "-1s"},
		"tiny ttl":           {CertRequest{Identity: tenant("acme"), TTL: time.Millisecond}, api.InvalidArgument, "at least 1s"},
		"client with a host": {CertRequest{Identity: tenant("acme"), DNSNames: []string{"localhost"}}, api.InvalidArgument, "no host names"},
		"client with an IP":  {CertRequest{Identity: operator("r"), IPs: []net.IP{net.IPv6loopback}}, api.InvalidArgument, "no host names"},
		"bad host":           {CertRequest{Identity: scheduler("s1"), DNSNames: []string{"a b"}}, api.InvalidArgument, "not a host name"},
		"empty host":         {CertRequest{Identity: scheduler("s1"), DNSNames: []string{""}}, api.InvalidArgument, "not a host name"},
		"star alone":         {CertRequest{Identity: scheduler("s1"), DNSNames: []string{"*"}}, api.InvalidArgument, "not a host name"},
		"inner star":         {CertRequest{Identity: scheduler("s1"), DNSNames: []string{"a.*.b"}}, api.InvalidArgument, "not a host name"},
		"dash host":          {CertRequest{Identity: scheduler("s1"), DNSNames: []string{"-a"}}, api.InvalidArgument, "not a host name"},
		"bad IP":             {CertRequest{Identity: scheduler("s1"), IPs: []net.IP{{1, 2}}}, api.InvalidArgument, "not an address"},
		"any IP":             {CertRequest{Identity: scheduler("s1"), IPs: []net.IP{net.IPv4zero}}, api.InvalidArgument, "0.0.0.0"},
		"too many":           {CertRequest{Identity: scheduler("s1"), DNSNames: make([]string, 65)}, api.InvalidArgument, "at most 64"},
		"after the CA":       {CertRequest{Identity: tenant("acme"), Now: time.Now().Add(2 * caLife)}, api.InvalidArgument, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.Issue(c.r)
			wantRefusal(t, err, c.kind, c.says)
		})
	}
}

func TestSignRefusesKeys(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, pub := range map[string]any{
		"nothing":       nil,
		"P-384":         &p384.PublicKey,
		"nil ECDSA":     (*ecdsa.PublicKey)(nil),
		"RSA":           &rsa.PublicKey{N: big.NewInt(1), E: 3},
		"short Ed25519": ed25519.PublicKey{1},
		"private key":   p384,
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := m.Sign(pub, CertRequest{Identity: tenant("acme")})
			wantRefusal(t, err, api.InvalidArgument, "ublic key")
		})
	}
}

func TestSignAnyIdentity(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		id := genIdentity().Draw(t, "identity")
		id.ClusterID = "g-1"
		_, leaf, err := m.Sign(pub, CertRequest{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := CertIdentity(leaf); err != nil || got != id {
			t.Fatalf("certificate names %v, %v; want %v", got, err, id)
		}
	})
}

// Every name that may be a cluster's id can be in a certificate and in a CA.
func TestAnyClusterID(t *testing.T) {
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		id := genCluster().Draw(t, "cluster")
		ca, err := newCA(id, key, at())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := caCluster(ca); err != nil || got != id {
			t.Fatalf("CA of %q names %q, %v", id, got, err)
		}
	})
}

func TestCSRRoundTrip(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	csr, keyPEM, err := NewCSR()
	if err != nil {
		t.Fatal(err)
	}
	pub, spki, err := ParseCSR(csr)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, leaf, err := m.Sign(pub, CertRequest{Identity: cell()})
	if err != nil {
		t.Fatal(err)
	}
	if SPKI(leaf) != spki {
		t.Errorf("certificate has SPKI %s, request %s", SPKI(leaf), spki)
	}
	c := &Credential{CertPEM: Chain(certPEM, m.CAPEM), KeyPEM: keyPEM}
	if _, err := c.TLS(); err != nil {
		t.Error(err)
	}
	// The same request gives the same key again; its certificate differs by serial alone.
	_, again, err := m.Sign(pub, CertRequest{Identity: cell()})
	if err != nil || SPKI(again) != spki || again.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
		t.Errorf("again: %v", err)
	}
}

// makeCSR signs a request with any key and template.
func makeCSR(tb testing.TB, tmpl *x509.CertificateRequest, key any) []byte {
	tb.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCSR, Bytes: der})
}

func TestParseCSRRefuses(t *testing.T) {
	good, keyPEM, err := NewCSR()
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(good)
	forged := append([]byte(nil), block.Bytes...)
	forged[len(forged)-1] ^= 1
	for name, c := range map[string]struct {
		csr  []byte
		kind api.Kind
		says string
	}{
		"nothing":       {nil, api.InvalidArgument, "not PEM"},
		"garbage":       {[]byte("garbage"), api.InvalidArgument, "not PEM"},
		"oversized":     {[]byte(strings.Repeat("x", MaxCSR+1)), api.TooLarge, "8193 bytes"},
		"a key":         {keyPEM, api.InvalidArgument, `"PRIVATE KEY"`},
		"two":           {append(append([]byte(nil), good...), good...), api.InvalidArgument, "beside its one PEM block"},
		"text before":   {append([]byte("x\n"), good...), api.InvalidArgument, "not PEM"},
		"text after":    {append(append([]byte(nil), good...), "x"...), api.InvalidArgument, "beside its one PEM block"},
		"not DER":       {pem.EncodeToMemory(&pem.Block{Type: pemCSR, Bytes: []byte("x")}), api.InvalidArgument, "cannot be read"},
		"bad signature": {pem.EncodeToMemory(&pem.Block{Type: pemCSR, Bytes: forged}), api.InvalidArgument, "not signed with its own key"},
		"headers":       {pem.EncodeToMemory(&pem.Block{Type: pemCSR, Headers: map[string]string{"a": "b"}, Bytes: block.Bytes}), api.InvalidArgument, "beside"},
		"P-384":         {makeCSR(t, &x509.CertificateRequest{}, p384), api.InvalidArgument, "ECDSA on P-384"},
		"RSA":           {makeCSR(t, &x509.CertificateRequest{}, rsaKey), api.InvalidArgument, "public key is RSA of 2048 bits: use P-256 or Ed25519"},
	} {
		t.Run(name, func(t *testing.T) {
			pub, spki, err := ParseCSR(c.csr)
			wantRefusal(t, err, c.kind, c.says)
			if pub != nil || spki != "" {
				t.Errorf("got %v, %q beside the error", pub, spki)
			}
		})
	}
}

func TestCSRSaysNothingButItsKey(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.CertificateRequest{DNSNames: []string{"evil.example"}, URIs: m.CA.URIs, EmailAddresses: []string{"a@b"}}
	tmpl.Subject.CommonName = "root"
	pub, _, err := ParseCSR(makeCSR(t, tmpl, key))
	if err != nil {
		t.Fatal(err)
	}
	_, leaf, err := m.Sign(pub, CertRequest{Identity: cell()})
	if err != nil {
		t.Fatal(err)
	}
	if leaf.DNSNames != nil || leaf.EmailAddresses != nil || len(leaf.URIs) != 1 || leaf.Subject.CommonName != "aws-1" {
		t.Errorf("the request reached the certificate: %v %v %v %v", leaf.DNSNames, leaf.EmailAddresses, leaf.URIs, leaf.Subject)
	}
}

func FuzzParseCSR(f *testing.F) {
	good, keyPEM, err := NewCSR()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(keyPEM)
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, csr []byte) {
		pub, spki, err := ParseCSR(csr)
		if err != nil {
			if k := api.KindOf(err); k != api.InvalidArgument && k != api.TooLarge {
				t.Fatalf("kind %s: %v", k, err)
			}
			return
		}
		if again, err := publicKey(pub); err != nil || again != spki {
			t.Fatalf("took a key that Sign refuses: %v", err)
		}
	})
}
