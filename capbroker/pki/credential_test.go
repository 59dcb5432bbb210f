package pki

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

func newCredential(tb testing.TB, m *Material, id Identity) *Credential {
	tb.Helper()
	c, err := m.Issue(CertRequest{Identity: id})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestCredentialWriteLoad(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	dir := filepath.Join(t.TempDir(), "a", "b")
	certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for range 2 { // the second replaces the first
		c := newCredential(t, m, cell())
		if err := c.Write(certPath, keyPath); err != nil {
			t.Fatal(err)
		}
		got, err := LoadCredential(certPath, keyPath)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.CertPEM, c.CertPEM) || !bytes.Equal(got.KeyPEM, c.KeyPEM) {
			t.Error("loaded another credential than was written")
		}
		if id, err := got.Identity(); err != nil || id.Cell != "aws-1" {
			t.Errorf("identity %v, %v", id, err)
		}
	}
	for path, want := range map[string]fs.FileMode{keyPath: 0o600, certPath: 0o644, dir: fs.ModeDir | 0o700} {
		if st, err := os.Stat(path); err != nil || st.Mode() != want {
			t.Errorf("%s has mode %v, %v; want %v", path, st.Mode(), err, want)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestCredentialRenewedWithItsOwnKey(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	dir := t.TempDir()
	certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	c := newCredential(t, m, cell())
	if err := c.Write(certPath, keyPath); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(keyPath)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := c.TLS()
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, err := m.Sign(pair.Leaf.PublicKey, CertRequest{Identity: cell()})
	if err != nil {
		t.Fatal(err)
	}
	renewed := &Credential{CertPEM: leaf, KeyPEM: c.KeyPEM}
	if err := renewed.Write(certPath, keyPath); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(keyPath)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the key was written again: %v", err)
	}
	if got, err := LoadCredential(certPath, keyPath); err != nil || !bytes.Equal(got.CertPEM, leaf) {
		t.Errorf("LoadCredential: %v", err)
	}
}

// A Write that dies after any of its renames leaves a pair that loads: the old one or the new.
func TestCredentialWriteDiesHalfWay(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	old, next := newCredential(t, m, tenant("acme")), newCredential(t, m, tenant("acme"))
	for name, c := range map[string]struct {
		certOf *Credential
		want   *Credential
	}{
		"before the certificate": {old, old},
		"after the certificate":  {next, next},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
			err := errors.Join(
				os.WriteFile(certPath, c.certOf.CertPEM, 0o644),
				os.WriteFile(keyPath, old.KeyPEM, 0o600),
				os.WriteFile(pendingKey(keyPath), next.KeyPEM, 0o600),
			)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got, err := LoadCredential(certPath, keyPath)
				if err != nil || !bytes.Equal(got.KeyPEM, c.want.KeyPEM) {
					t.Fatalf("LoadCredential: %v", err)
				}
			}
			if key, err := os.ReadFile(keyPath); err != nil || !bytes.Equal(key, c.want.KeyPEM) {
				t.Errorf("the Write was not completed: %v", err)
			}
			// And a further Write that dies before its certificate does not lose the key.
			third := newCredential(t, m, tenant("acme"))
			if err := third.Write(certPath, keyPath); err != nil {
				t.Fatal(err)
			}
			if got, err := LoadCredential(certPath, keyPath); err != nil || !bytes.Equal(got.KeyPEM, third.KeyPEM) {
				t.Fatalf("LoadCredential after Write: %v", err)
			}
		})
	}
}

func TestLoadCredentialRefuses(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	a, b := newCredential(t, m, tenant("a")), newCredential(t, m, tenant("b"))
	for name, c := range map[string]struct {
		cert, key []byte
		mode      fs.FileMode
		kind      api.Kind
		says      string
	}{
		"no certificate":       {nil, a.KeyPEM, 0o600, api.NotFound, "cert.pem does not exist"},
		"no key":               {a.CertPEM, nil, 0o600, api.NotFound, "key.pem does not exist"},
		"another's key":        {a.CertPEM, b.KeyPEM, 0o600, api.IdentityMismatch, "do not belong together"},
		"group readable key":   {a.CertPEM, a.KeyPEM, 0o640, api.InvalidArgument, "mode 0640"},
		"world readable key":   {a.CertPEM, a.KeyPEM, 0o644, api.InvalidArgument, "mode 0644"},
		"key garbage":          {a.CertPEM, []byte("x"), 0o600, api.InvalidArgument, "not PEM"},
		"certificate garbage":  {[]byte("x"), a.KeyPEM, 0o600, api.InvalidArgument, "not PEM"},
		"the CA's certificate": {m.CAPEM, a.KeyPEM, 0o600, api.Unauthenticated, "is a CA's"},
		"swapped":              {a.KeyPEM, a.CertPEM, 0o600, api.InvalidArgument, `"CERTIFICATE"`},
		"oversized":            {a.CertPEM, bytes.Repeat([]byte("x"), maxFile+1), 0o600, api.TooLarge, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
			if c.cert != nil {
				if err := os.WriteFile(certPath, c.cert, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if c.key != nil {
				if err := os.WriteFile(keyPath, c.key, c.mode); err != nil {
					t.Fatal(err)
				}
			}
			_, err := LoadCredential(certPath, keyPath)
			wantRefusal(t, err, c.kind, c.says)
		})
	}
}

func TestCredentialWriteRefusesABrokenPair(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	a, b := newCredential(t, m, tenant("a")), newCredential(t, m, tenant("b"))
	dir := t.TempDir()
	err := (&Credential{CertPEM: a.CertPEM, KeyPEM: b.KeyPEM}).Write(filepath.Join(dir, "c"), filepath.Join(dir, "k"))
	wantRefusal(t, err, api.IdentityMismatch, "do not belong together")
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestCredentialPrintsNoKey(t *testing.T) {
	c := newCredential(t, newTestMaterial(t, "g-1"), tenant("acme"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, c); strings.Contains(got, "PRIVATE") || len(got) > 120 {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
