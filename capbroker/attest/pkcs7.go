package attest

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"
)

// maxSigned bounds a PKCS #7 message in bytes, and maxEmbedded the certificates in it.
const (
	maxSigned   = 8 << 10
	maxEmbedded = 8
)

// message is a PKCS #7 message that verifies: what was signed, and whose signature it is.
type message struct {
	content []byte
	signer  *x509.Certificate
}

// unpack reads base64 with or without the lines around it and in it.
func unpack(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	text = strings.TrimSuffix(strings.TrimPrefix(text, "-----BEGIN PKCS7-----"), "-----END PKCS7-----")
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fmt.Errorf("it is not base64 of a PKCS #7 message: %w", err)
	}
	if len(raw) > maxSigned {
		return nil, fmt.Errorf("its PKCS #7 message is %d bytes long: at most %d", len(raw), maxSigned)
	}
	return raw, nil
}

// open verifies a message that has exactly one signer, by RSA over SHA-256, whose certificate is one of
// those known, or one in the message that chains to one of the roots. All of them must be valid now.
func open(raw []byte, known, roots []*x509.Certificate, now time.Time) (*message, error) {
	p7, err := pkcs7.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("its PKCS #7 message cannot be read: %w", err)
	}
	if err := checkSigned(p7); err != nil {
		return nil, err
	}
	// Those that are known come first: no certificate of the message stands in for one of them.
	p7.Certificates = append(append([]*x509.Certificate(nil), known...), p7.Certificates...)
	signer := p7.GetOnlySigner()
	if signer == nil {
		return nil, errors.New("its signer's certificate is none that is configured, and not in the message")
	}
	key, ok := signer.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 {
		return nil, fmt.Errorf("its signer's key is not RSA of 2048 bits or more")
	}
	pool := x509.NewCertPool()
	for _, c := range roots {
		pool.AddCert(c)
	}
	if err := p7.VerifyWithChainAtTime(pool, now); err != nil {
		return nil, fmt.Errorf("its signature does not verify: %w", err)
	}
	return &message{content: p7.Content, signer: signer}, nil
}

// oids are the algorithms of signers, of which the second two are one: some say the digest, some the
// whole algorithm where the digest belongs.
func rsaSignature(oid asn1.ObjectIdentifier) bool {
	return oid.Equal(pkcs7.OIDEncryptionAlgorithmRSA) || oid.Equal(pkcs7.OIDEncryptionAlgorithmRSASHA256)
}

func sha256Digest(oid asn1.ObjectIdentifier) bool {
	return oid.Equal(pkcs7.OIDDigestAlgorithmSHA256) || oid.Equal(pkcs7.OIDEncryptionAlgorithmRSASHA256)
}

// checkSigned refuses what the library would take and no cloud makes.
func checkSigned(p7 *pkcs7.PKCS7) error {
	if len(p7.Signers) != 1 {
		return fmt.Errorf("its PKCS #7 message has %d signatures: it must have one", len(p7.Signers))
	}
	if len(p7.Content) == 0 {
		return errors.New("its PKCS #7 message has no content")
	}
	if len(p7.Certificates) > maxEmbedded || len(p7.CRLs) > 0 {
		return fmt.Errorf("its PKCS #7 message has %d certificates and %d revocation lists: at most %d and none", len(p7.Certificates), len(p7.CRLs), maxEmbedded)
	}
	s := p7.Signers[0]
	if s.DigestEncryptionAlgorithm.Algorithm.Equal(pkcs7.OIDDigestAlgorithmDSA) || s.DigestEncryptionAlgorithm.Algorithm.Equal(pkcs7.OIDDigestAlgorithmDSASHA1) {
		return errDSA
	}
	if !rsaSignature(s.DigestEncryptionAlgorithm.Algorithm) || !sha256Digest(s.DigestAlgorithm.Algorithm) {
		return fmt.Errorf("its signature is of the algorithms %s and %s: only RSA over SHA-256 is taken", s.DigestEncryptionAlgorithm.Algorithm, s.DigestAlgorithm.Algorithm)
	}
	if len(s.AuthenticatedAttributes) == 0 {
		return nil
	}
	var kind asn1.ObjectIdentifier
	if err := p7.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &kind); err != nil || !kind.Equal(pkcs7.OIDData) {
		return errors.New("its PKCS #7 message does not sign what its content is")
	}
	return nil
}

var errDSA = errors.New("it is signed with DSA, which is not taken: get the one that is signed with RSA, at /latest/dynamic/instance-identity/rsa2048")
