package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/grafos/grafos/api"
)

// MaxCSR bounds a certificate request in PEM, in bytes.
const MaxCSR = 8 << 10

// NewCSR makes a P-256 key and a request for a certificate of it. The request says nothing
// but the public key, and proves that its sender holds the private one.
func NewCSR() (csrPEM, keyPEM []byte, err error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate request: %w", err)
	}
	if keyPEM, err = encodeKey(key); err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCSR, Bytes: der}), keyPEM, nil
}

// RequestOf makes a request for a key that there is, PEM.
func RequestOf(keyPEM []byte) (csrPEM []byte, err error) {
	key, err := parseKey("private key", keyPEM)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, api.Refuse(api.InvalidArgument, "the private key cannot sign")
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign certificate request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCSR, Bytes: der}), nil
}

// ParseCSR returns a request's public key, P-256 or Ed25519, and its SPKI as SPKI gives it
// for the certificate. Whatever else the request says is ignored. It refuses what is too
// large, is none, or is not signed with its own key.
func ParseCSR(csrPEM []byte) (pub any, spki string, err error) {
	if len(csrPEM) > MaxCSR {
		return nil, "", api.Refuse(api.TooLarge, "certificate request is %d bytes long: at most %d", len(csrPEM), MaxCSR)
	}
	der, err := onlyBlock("certificate request", pemCSR, csrPEM)
	if err != nil {
		return nil, "", err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, "", api.Refuse(api.InvalidArgument, "certificate request cannot be read: %v", err)
	}
	// Before the signature: an absurd RSA key must not be computed with.
	if spki, err = publicKey(csr.PublicKey); err != nil {
		return nil, "", err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, "", api.Refuse(api.InvalidArgument, "certificate request is not signed with its own key: %v", err)
	}
	return csr.PublicKey, spki, nil
}
