package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
)

// A certificate is written over one of the same identity, and over nothing else.
func TestIssuedBesideAnother(t *testing.T) {
	m, err := pki.InitMaterial(filepath.Join(t.TempDir(), "material"), pki.InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	issue := func(name string) error {
		_, err := issueTo(m, pki.CertRequest{Identity: pki.Identity{ClusterID: m.ClusterID, Role: api.RoleTenant, Name: name}}, out)
		return err
	}
	for range 2 {
		if err := issue("acme"); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(filepath.Join(out, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := issue("beta"); api.KindOf(err) != api.Conflict {
		t.Errorf("another identity in the same folder: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(out, "key.pem")); err != nil || string(after) != string(before) {
		t.Errorf("the key was written over (%v)", err)
	}

	out = t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "ca.pem"), []byte("another cluster's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := issue("acme"); api.KindOf(err) != api.Conflict {
		t.Errorf("beside another cluster's CA: %v", err)
	}
}
