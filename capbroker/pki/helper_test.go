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
func newTestMaterial(tb testing.TB, id string) *Material {
	tb.Helper()
	m, err := InitMaterial(tb.TempDir(), InitOptions{ClusterID: id})
	if err != nil {
		tb.Fatalf("InitMaterial: %v", err)
	}
	return m
}

func operator(name string) Identity  { return Identity{Role: api.RoleOperator, Name: name} }
func tenant(name string) Identity    { return Identity{Role: api.RoleTenant, Name: name} }
func scheduler(name string) Identity { return Identity{Role: api.RoleScheduler, Name: name} }
func cell() Identity {
	return Identity{Role: api.RoleCell, Provider: "aws", Cell: "aws-1"}
}

// issue makes a credential and returns it for TLS.
func issue(tb testing.TB, m *Material, r CertRequest) *tls.Certificate {
	tb.Helper()
	c, err := m.Issue(r)
	if err != nil {
		tb.Fatalf("Issue(%v): %v", r.Identity, err)
	}
	pair, err := c.TLS()
	if err != nil {
		tb.Fatalf("TLS: %v", err)
	}
	return &pair
}

// crafted signs a certificate that Sign would refuse to: change edits the template.
func crafted(tb testing.TB, m *Material, id Identity, change func(*x509.Certificate)) *tls.Certificate {
	tb.Helper()
	tmpl, err := m.template(CertRequest{Identity: id})
	if err != nil {
		tb.Fatalf("template: %v", err)
	}
	change(tmpl)
	key, err := newKey()
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, m.CA, &key.PublicKey, m.caKey)
	if err != nil {
		tb.Fatalf("CreateCertificate: %v", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, m.CA.Raw}, PrivateKey: key}
}

// wantRefusal fails unless err has the kind and says every part.
func wantRefusal(tb testing.TB, err error, kind api.Kind, says ...string) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("got no error, want %s saying %q", kind, says)
	}
	if got := api.KindOf(err); got != kind {
		tb.Errorf("got kind %s of %q, want %s", got, err, kind)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			tb.Errorf("error %q does not say %q", err, s)
		}
	}
}

// at is a fixed moment for what needs no real clock.
func at() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }
