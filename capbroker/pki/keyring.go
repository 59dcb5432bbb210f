package pki

import (
	"bytes"
	"crypto/tls"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
)

// Keyring is the certificate and key of a cell in two files, which are replaced while it runs.
type Keyring struct {
	certPath, keyPath string

	mu      sync.Mutex
	current tls.Certificate // guarded by mu
	certPEM []byte          // guarded by mu
	keyPEM  []byte          // guarded by mu
	asked   []byte          // guarded by mu: the key of the newest request, PEM; nil is none
}

// OpenKeyring reads the two files; it refuses what LoadCredential does.
func OpenKeyring(certPath, keyPath string) (*Keyring, error) {
	cred, err := LoadCredential(certPath, keyPath)
	if err != nil {
		return nil, err
	}
	k := &Keyring{certPath: certPath, keyPath: keyPath}
	return k, k.use(cred)
}

func (k *Keyring) use(cred *Credential) error {
	pair, err := cred.TLS()
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current, k.certPEM, k.keyPEM, k.asked = pair, cred.CertPEM, cred.KeyPEM, nil
	return nil
}

// Credential returns the pair for a handshake.
func (k *Keyring) Credential() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.current
	return &c, nil
}

// Certificate returns the leaf, PEM, with when it was issued and when it ends.
func (k *Keyring) Certificate() (leafPEM []byte, issued, ends time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	leaf := k.current.Leaf
	return encodeCert(leaf.Raw), leaf.NotBefore.Add(ClockTolerance), leaf.NotAfter
}

// Request makes a certificate request, PEM: of a new key, the same until a certificate of it is accepted,
// or of the one that there is.
func (k *Keyring) Request(fresh bool) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if fresh && (k.asked == nil || bytes.Equal(k.asked, k.keyPEM)) {
		csr, key, err := NewCSR()
		if err == nil {
			k.asked = key
		}
		return csr, err
	}
	// A request whose answer was lost may have been granted: it is repeated with its key. With another
	// one, whichever of the two is granted last would be the one that counts.
	asked := k.keyPEM
	if fresh {
		asked = k.asked
	}
	csr, err := RequestOf(asked)
	if err != nil {
		return nil, err
	}
	k.asked = asked
	return csr, nil
}

// Accept keeps a certificate of the newest request, with the CA behind it, in the two files and uses it
// from then on. It refuses another key's, and another identity's than there is, with identity_mismatch:
// what was there stays.
func (k *Keyring) Accept(certPEM, caPEM []byte) error {
	k.mu.Lock()
	key, before := k.asked, Credential{CertPEM: k.certPEM, KeyPEM: k.keyPEM}
	k.mu.Unlock()
	if key == nil {
		return api.Refuse(api.Conflict, "no certificate was asked for")
	}
	next := &Credential{CertPEM: Chain(certPEM, caPEM), KeyPEM: key}
	if _, err := next.TLS(); err != nil {
		return err
	}
	is, err := next.Identity()
	if err != nil {
		return err
	}
	if was, err := before.Identity(); err != nil || was != is {
		return api.Refuse(api.IdentityMismatch, "the new certificate is of %s, the identity is %s", is, was)
	}
	if err := next.Write(k.certPath, k.keyPath); err != nil {
		return err
	}
	return k.use(next)
}
