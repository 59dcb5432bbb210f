package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/grafos/grafos/api"
)

const (
	pemCert = "CERTIFICATE"
	pemKey  = "PRIVATE KEY"
	pemCSR  = "CERTIFICATE REQUEST"
)

// onlyBlock returns the one PEM block that data holds. Anything before, after or beside it
// but white space is refused: what is not read cannot be meant.
func onlyBlock(what, kind string, data []byte) ([]byte, error) {
	data = bytes.TrimSpace(data)
	block, rest := pem.Decode(data)
	if block == nil || !bytes.HasPrefix(data, []byte("-----BEGIN ")) {
		return nil, api.Refuse(api.InvalidArgument, "%s is not PEM", what)
	}
	if block.Type != kind {
		return nil, api.Refuse(api.InvalidArgument, "%s is a PEM block %.40q: it must be %q", what, block.Type, kind)
	}
	if len(bytes.TrimSpace(rest)) > 0 || bytes.Count(data, []byte("-----BEGIN ")) != 1 || len(block.Headers) > 0 {
		return nil, api.Refuse(api.InvalidArgument, "%s has something beside its one PEM block", what)
	}
	return block.Bytes, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: der})
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// parseKey reads a PKCS #8 private key in PEM; what names it in a refusal.
func parseKey(what string, data []byte) (crypto.PrivateKey, error) {
	der, err := onlyBlock(what, pemKey, data)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, api.Refuse(api.InvalidArgument, "%s is not a PKCS #8 private key: it is damaged, or of another form", what)
	}
	return key, nil
}

// newKey makes a P-256 key.
func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

// publicKey refuses a public key that is neither P-256 nor Ed25519, and returns the
// hex SHA-256 of its SubjectPublicKeyInfo otherwise.
func publicKey(pub any) (spki string, err error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k == nil || k.Curve != elliptic.P256() {
			return "", api.Refuse(api.InvalidArgument, "public key is %s: use P-256 or Ed25519", api.KeyKind(pub))
		}
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return "", api.Refuse(api.InvalidArgument, "Ed25519 public key has %d bytes: it must have %d", len(k), ed25519.PublicKeySize)
		}
	default:
		return "", api.Refuse(api.InvalidArgument, "public key is %s: use P-256 or Ed25519", api.KeyKind(pub))
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", api.Refuse(api.InvalidArgument, "public key cannot be encoded: %v", err)
	}
	return hexSum(der), nil
}

// leafOf returns the first certificate of a chain in PEM.
func leafOf(chain []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(chain)
	if block == nil || block.Type != pemCert {
		return nil, api.Refuse(api.InvalidArgument, "certificate is not PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, api.Refuse(api.InvalidArgument, "certificate cannot be read: %v", err)
	}
	return c, nil
}
