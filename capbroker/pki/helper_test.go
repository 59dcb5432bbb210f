package pki

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// newTestMaterial makes a cluster's folder and returns what was made of it.
func newTestMaterial(t testing.TB, id string) *Material {
	t.Helper()
	m, err := InitMaterial(t.TempDir(), InitOptions{ClusterID: id})
	if err != nil {
		t.Fatalf("InitMaterial: %v", err)
	}
	return m
}

func operator(name string) Identity  { return Identity{Role: api.RoleOperator, Name: name} }
func tenant(name string) Identity    { return Identity{Role: api.RoleTenant, Name: name} }
func scheduler(name string) Identity { return Identity{Role: api.RoleScheduler, Name: name} }
func cell(p, c string) Identity {
	return Identity{Role: api.RoleCell, Provider: api.ProviderID(p), Cell: api.CellID(c)}
}

// issue makes a credential and returns it for TLS.
func issue(t testing.TB, m *Material, r CertRequest) *tls.Certificate {
	t.Helper()
	c, err := m.Issue(r)
	if err != nil {
		t.Fatalf("Issue(%v): %v", r.Identity, err)
	}
	pair, err := c.TLS()
	if err != nil {
		t.Fatalf("TLS: %v", err)
	}
	return &pair
}

// crafted signs a certificate that Sign would refuse to: change edits the template.
func crafted(t testing.TB, m *Material, id Identity, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	tmpl, err := m.template(CertRequest{Identity: id})
	if err != nil {
		t.Fatalf("template: %v", err)
	}
	change(tmpl)
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, m.CA, &key.PublicKey, m.caKey)
	if err != nil {
		t.Fatalf("CreateCertificate: %v", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, m.CA.Raw}, PrivateKey: key}
}

// wantRefusal fails unless err has the kind and says every part.
func wantRefusal(t testing.TB, err error, kind api.Kind, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want %s saying %q", kind, says)
	}
	if got := api.KindOf(err); got != kind {
		t.Errorf("got kind %s of %q, want %s", got, err, kind)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

// at is a fixed moment for what needs no real clock.
func at() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }
