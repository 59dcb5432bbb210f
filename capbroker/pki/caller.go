package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"

	"github.com/grafos/grafos/api"
)

// CertIdentity reads who a certificate names. It must be no CA and have exactly one URI
// SAN, an identity; else unauthenticated. It does not check who issued it.
func CertIdentity(c *x509.Certificate) (Identity, error) {
	if c == nil {
		return Identity{}, api.Refuse(api.Unauthenticated, "there is no certificate")
	}
	if c.IsCA {
		return Identity{}, api.Refuse(api.Unauthenticated, "certificate %q is a CA's: it names nobody", c.Subject.CommonName)
	}
	if n := len(c.URIs); n != 1 {
		return Identity{}, api.Refuse(api.Unauthenticated,
			"certificate %q has %d URI SANs: it must have exactly one", c.Subject.CommonName, n)
	}
	id, err := ParseIdentity(c.URIs[0].String())
	if err != nil {
		return Identity{}, api.Refuse(api.Unauthenticated, "certificate %q: %s", c.Subject.CommonName, api.Problem(err).Detail)
	}
	return id, nil
}

// CertCaller reads the caller that a verified certificate proves. A connection may outlive
// its certificate: whoever serves a long one compares NotAfter with the clock.
func CertCaller(c *x509.Certificate) (api.Caller, error) {
	id, err := CertIdentity(c)
	if err != nil {
		return api.Caller{}, err
	}
	return api.Caller{
		Role: id.Role, Name: id.Name, Provider: id.Provider, Cell: id.Cell,
		SPKI: SPKI(c), Serial: c.SerialNumber.Text(16), NotAfter: c.NotAfter,
	}, nil
}

// SPKI returns the hex SHA-256 of a certificate's public key, which stays the same when
// the certificate is renewed with its own key.
func SPKI(c *x509.Certificate) string { return hexSum(c.RawSubjectPublicKeyInfo) }

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
