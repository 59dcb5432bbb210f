package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// CheckPin refuses what is not "sha256:" and 64 hex digits; the prefix may be missing, and
// case does not matter. It returns the pin in the form that Pin has.
func CheckPin(pin string) (string, error) {
	norm := strings.ToLower(strings.TrimSpace(pin))
	if !strings.HasPrefix(norm, "sha256:") {
		norm = "sha256:" + norm
	}
	if err := api.CheckDigest(api.Digest(norm)); err != nil {
		return "", api.Refuse(api.InvalidArgument, "CA pin %.80q is not sha256: and 64 hex digits", pin)
	}
	return norm, nil
}

// PinnedPool returns a pool of the CA in caPEM, and refuses one that pin does not name
// with identity_mismatch.
func PinnedPool(caPEM []byte, pin string) (*x509.CertPool, error) {
	want, err := CheckPin(pin)
	if err != nil {
		return nil, err
	}
	ca, err := ParseCA(caPEM)
	if err != nil {
		return nil, err
	}
	if got := Pin(ca); got != want {
		return nil, api.Refuse(api.IdentityMismatch, "the CA's fingerprint is %s, the pin is %s", got, want)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return pool, nil
}

// PinnedTLS returns the configuration of a first contact, which knows nothing of the
// cluster but its CA's fingerprint. The server must send its CA's certificate in its
// chain, that must be the pinned one, and it must prove a scheduler of the cluster that
// the CA names. A malformed pin refuses every server.
func PinnedTLS(pin string) *tls.Config {
	want, pinErr := CheckPin(pin)
	c := tlsBase()
	c.InsecureSkipVerify = true // there are no roots yet; VerifyConnection finds the one
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if pinErr != nil {
			return pinErr
		}
		return checkPinned(s.PeerCertificates, want, time.Now())
	}
	return c
}

// checkPinned verifies a chain against the CA in it whose fingerprint is want.
func checkPinned(chain []*x509.Certificate, want string, now time.Time) error {
	ca, err := findPinned(chain, want)
	if err != nil {
		return err
	}
	cluster, err := caCluster(ca)
	if err != nil {
		return fmt.Errorf("check pinned CA: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	policy := peerPolicy{
		what: "server", roots: roots, usage: x509.ExtKeyUsageServerAuth,
		clusterID: cluster, roles: []api.Role{api.RoleScheduler}, otherRole: api.IdentityMismatch,
	}
	_, err = policy.check(chain, now)
	return err
}

// findPinned returns the certificate whose fingerprint is want; the refusal tells the
// fingerprint that was found in its place.
func findPinned(chain []*x509.Certificate, want string) (*x509.Certificate, error) {
	var got []string
	for _, c := range chain {
		if Pin(c) == want {
			return c, nil
		}
		if c.IsCA {
			got = append(got, Pin(c))
		}
	}
	if len(got) == 0 {
		return nil, api.Refuse(api.IdentityMismatch,
			"the server sent no CA certificate to compare with the pin %s (it sent %d certificates)", want, len(chain)).
			WithHint("a grafOS scheduler sends its CA: is this address one?")
	}
	return nil, api.Refuse(api.IdentityMismatch, "the server's CA has fingerprint %s, the pin is %s", strings.Join(got, ", "), want).
		WithHint("the address belongs to another cluster, or somebody is in between: compare with a scheduler's ca.pem")
}
