package pki

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/grafos/grafos/api"
)

// Credential is a certificate, with what it chains to behind it, and its private key.
type Credential struct {
	CertPEM, KeyPEM []byte
}

// String shows no key.
func (c *Credential) String() string {
	id, err := c.Identity()
	if err != nil {
		return "credential that cannot be read"
	}
	return "credential of " + id.String()
}

// GoString is String, so that no way of printing shows the key.
func (c *Credential) GoString() string { return c.String() }

// TLS returns the credential for a TLS configuration, its Leaf parsed. It refuses a key
// that is not the certificate's with identity_mismatch.
func (c *Credential) TLS() (tls.Certificate, error) {
	if _, err := parseKey("private key", c.KeyPEM); err != nil {
		return tls.Certificate{}, err
	}
	// X509KeyPair compares the keys last, so the certificate alone is looked at first.
	if _, err := c.Identity(); err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(c.CertPEM, c.KeyPEM)
	if err != nil {
		return tls.Certificate{}, api.Refuse(api.IdentityMismatch, "certificate and private key do not belong together: %v", err)
	}
	return pair, nil
}

// Identity returns who the certificate names.
func (c *Credential) Identity() (Identity, error) {
	leaf, err := leafOf(c.CertPEM)
	if err != nil {
		return Identity{}, err
	}
	return CertIdentity(leaf)
}

// pendingKey is where a new key waits for its certificate to be in place.
func pendingKey(keyPath string) string { return keyPath + ".next" }

// Write puts the credential into two files, the key 0600 and the certificate 0644, making
// their folders where they are missing. Each file is replaced whole. A new key waits
// beside the old one until the new certificate is in place, so that a crash at any moment
// leaves a pair that LoadCredential takes.
func (c *Credential) Write(certPath, keyPath string) error {
	if _, err := c.TLS(); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(certPath), filepath.Dir(keyPath)} {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	// A renewal with its own key is one rename.
	if old, err := readKey(keyPath); err == nil && bytes.Equal(old, c.KeyPEM) {
		return replaceFile(certPath, c.CertPEM, certMode)
	}
	// An earlier Write may have died half way: its key is then the only copy of the current one.
	if _, err := LoadCredential(certPath, keyPath); err != nil && api.KindOf(err) == api.Internal {
		return err
	}
	if err := replaceFile(pendingKey(keyPath), c.KeyPEM, keyMode); err != nil {
		return err
	}
	if err := replaceFile(certPath, c.CertPEM, certMode); err != nil {
		return err
	}
	return promoteKey(keyPath)
}

func promoteKey(keyPath string) error {
	if err := os.Rename(pendingKey(keyPath), keyPath); err != nil {
		return fmt.Errorf("rename key into place: %w", err)
	}
	return syncDir(filepath.Dir(keyPath))
}

// LoadCredential reads the two files and refuses a pair that does not belong together
// (identity_mismatch), a file that is missing (not_found) and a key that others can read
// (invalid_argument). Where a Write died between the two files it completes it.
func LoadCredential(certPath, keyPath string) (*Credential, error) {
	cert, err := readPublic(certPath)
	if err != nil {
		return nil, err
	}
	c := &Credential{CertPEM: cert}
	c.KeyPEM, err = readKey(keyPath)
	if err == nil {
		if _, err = c.TLS(); err == nil {
			return c, nil
		}
	}
	next := &Credential{CertPEM: cert}
	var nextErr error
	if next.KeyPEM, nextErr = readKey(pendingKey(keyPath)); nextErr != nil {
		return nil, pairError(err, certPath, keyPath)
	}
	if _, nextErr = next.TLS(); nextErr != nil {
		return nil, pairError(err, certPath, keyPath)
	}
	if err := promoteKey(keyPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return next, nil
}

// pairError names the two files in what was refused about them.
func pairError(err error, certPath, keyPath string) error {
	p, ok := api.AsError(err)
	if !ok || p.Kind == api.NotFound || p.Hint != "" {
		return err
	}
	return api.Refuse(p.Kind, "credential %s with key %s: %s", certPath, keyPath, p.Detail).
		WithHint("issue a new pair, or put back the two files that were made together")
}
