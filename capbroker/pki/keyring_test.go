package pki

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// sign certifies a request as a scheduler does.
func signCSR(t *testing.T, m *Material, csr []byte, id Identity) (cert []byte, spki string) {
	t.Helper()
	pub, spki, err := ParseCSR(csr)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err = m.Sign(pub, CertRequest{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	return cert, spki
}

func newKeyring(t *testing.T, m *Material) (k *Keyring, certPath, keyPath string) {
	t.Helper()
	dir := t.TempDir()
	certPath, keyPath = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := newCredential(t, m, cell()).Write(certPath, keyPath); err != nil {
		t.Fatal(err)
	}
	k, err := OpenKeyring(certPath, keyPath)
	if err != nil {
		t.Fatal(err)
	}
	return k, certPath, keyPath
}

func (k *Keyring) spki(t *testing.T) string {
	t.Helper()
	c, err := k.Credential()
	if err != nil {
		t.Fatal(err)
	}
	return SPKI(c.Leaf)
}

// A new key is used, and is what a restart finds, only with its certificate.
func TestKeyring(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	k, certPath, keyPath := newKeyring(t, m)
	first := k.spki(t)
	if _, issued, ends := k.Certificate(); ends.Sub(issued) != CellCertTTL || time.Since(issued) > time.Minute {
		t.Errorf("lives from %s to %s", issued, ends)
	}
	if err := k.Accept([]byte("x"), m.CAPEM); api.KindOf(err) != api.Conflict {
		t.Errorf("accepted what was not asked for: %v", err)
	}
	csr, err := k.Request(true)
	if err != nil {
		t.Fatal(err)
	}
	if k.spki(t) != first {
		t.Error("the new key is used before it is certified")
	}
	cert, spki := signCSR(t, m, csr, cell())
	// An answer that was lost: the request is repeated with the key that may have been granted.
	repeated, err := k.Request(true)
	if err != nil {
		t.Fatal(err)
	}
	if _, again := signCSR(t, m, repeated, cell()); again != spki {
		t.Error("repeated, the request is of yet another key")
	}
	other := cell()
	other.Cell = "aws-2"
	foreign, _ := signCSR(t, m, csr, other)
	wantRefusal(t, k.Accept(foreign, m.CAPEM), api.IdentityMismatch, "aws-2")
	stray, _, err := NewCSR()
	if err != nil {
		t.Fatal(err)
	}
	another, _ := signCSR(t, m, stray, cell())
	wantRefusal(t, k.Accept(another, m.CAPEM), api.IdentityMismatch)
	if k.spki(t) != first {
		t.Fatal("what was refused is used")
	}
	if err := k.Accept(cert, m.CAPEM); err != nil {
		t.Fatal(err)
	}
	if spki == first || k.spki(t) != spki {
		t.Error("the new key is not used")
	}
	again, err := OpenKeyring(certPath, keyPath)
	if err != nil || again.spki(t) != spki {
		t.Fatalf("a restart finds another key: %v", err)
	}
	// With the key that there is.
	if csr, err = k.Request(false); err != nil {
		t.Fatal(err)
	}
	cert, same := signCSR(t, m, csr, cell())
	if err := k.Accept(cert, m.CAPEM); err != nil || same != spki || k.spki(t) != spki {
		t.Errorf("renewed with its own key: %v", err)
	}
}

func TestVerifyLapsed(t *testing.T) {
	m, other := newTestMaterial(t, "g-1"), newTestMaterial(t, "g-2")
	now := time.Now()
	lapsed := func(m *Material, id Identity) []byte {
		c, err := m.Issue(CertRequest{Identity: id, Now: now, TTL: CellCertTTL})
		if err != nil {
			t.Fatal(err)
		}
		return c.CertPEM
	}
	for name, c := range map[string]struct {
		cert []byte
		ago  time.Duration
		want api.Kind
		says string
	}{
		"alive":         {lapsed(m, cell()), -time.Hour, "", ""},
		"just over":     {lapsed(m, cell()), time.Second, "", ""},
		"six days":      {lapsed(m, cell()), 6 * 24 * time.Hour, "", ""},
		"too long":      {lapsed(m, cell()), RenewableFor + time.Minute, api.Unauthenticated, "can be renewed for"},
		"other cluster": {lapsed(other, cell()), time.Hour, api.Unauthenticated, "another CA"},
		"no cell":       {lapsed(m, tenant("acme")), time.Hour, api.Forbidden, "role tenant"},
		"a scheduler":   {lapsed(m, scheduler("s1")), time.Hour, api.Forbidden, "role scheduler"},
		"the CA":        {m.CAPEM, 0, api.Unauthenticated, ""},
		"nothing":       {nil, 0, api.InvalidArgument, ""},
		"too large":     {make([]byte, maxFile+1), 0, api.TooLarge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			leaf, id, err := m.VerifyLapsed(c.cert, now.Add(CellCertTTL+c.ago))
			if c.want != "" {
				wantRefusal(t, err, c.want, c.says)
				return
			}
			if err != nil || id.Cell != "aws-1" || leaf == nil {
				t.Errorf("%v, %v", id, err)
			}
		})
	}
}
