package attesttest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// Signer is a key with its certificate.
type Signer struct {
	Key  *rsa.PrivateKey
	Cert *x509.Certificate
}

// Root makes a signer whose certificate is signed by itself, valid from a day before now for life.
func Root(name string, now time.Time, life time.Duration) (*Signer, error) {
	return issue(nil, name, now, life)
}

// Issue makes a signer whose certificate s signs: that of a server with the name.
func (s *Signer) Issue(name string, now time.Time, life time.Duration) (*Signer, error) {
	return issue(s, name, now, life)
}

// PEM is the certificate as a file has it.
func (s *Signer) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Cert.Raw})
}

func issue(by *Signer, name string, now time.Time, life time.Duration) (*Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"Test Cloud"}},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(life), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	parent, signing := c, key
	if by == nil {
		c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign
	} else {
		c.DNSNames = []string{name}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		parent, signing = by.Cert, by.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signing)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &Signer{Key: key, Cert: cert}, err
}
