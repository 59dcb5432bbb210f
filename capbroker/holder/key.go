package holder

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/grafos/grafos/api"
)

// Thumbprint names a key: the SHA-256 of its SubjectPublicKeyInfo. The zero one names none.
type Thumbprint [sha256.Size]byte

// String is base64url, 43 characters.
func (t Thumbprint) String() string { return b64(t[:]) }

// ParseThumbprint reads what String wrote, and nothing else.
func ParseThumbprint(s string) (Thumbprint, error) {
	if err := api.CheckHolder(s); err != nil {
		return Thumbprint{}, err
	}
	raw, err := unb64(s)
	if err != nil || len(raw) != sha256.Size || Thumbprint(raw) == (Thumbprint{}) {
		return Thumbprint{}, api.Refuse(api.InvalidArgument, "%q names no key", s)
	}
	return Thumbprint(raw), nil
}

// ThumbprintOf names the key whose SubjectPublicKeyInfo this is.
func ThumbprintOf(spki []byte) Thumbprint { return sha256.Sum256(spki) }

// b64 is base64url, without padding.
func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// unb64 reads base64url in its one form: no padding, no line breaks, no stray bits.
func unb64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // which the library passes over
		return nil, errors.New("a line break is in it")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("decode base64: %w", err)
	}
	return raw, nil
}

// Key signs for a holder.
type Key struct {
	signer crypto.Signer
	spki   []byte
}

// NewKey takes a private key of a kind that cells verify.
func NewKey(s crypto.Signer) (*Key, error) {
	spki, err := marshal(s.Public())
	if err != nil {
		return nil, err
	}
	return &Key{s, spki}, nil
}

// Thumbprint names the key.
func (k *Key) Thumbprint() Thumbprint { return ThumbprintOf(k.spki) }

// ParseKey reads the first private key of a PEM file.
func ParseKey(text []byte) (*Key, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, api.Refuse(api.InvalidArgument, "the file holds no private key: PEM with a PRIVATE KEY is what is read")
		}
		s, err := parsePrivate(block)
		if err != nil {
			return nil, unread("the private key", err)
		}
		if s != nil {
			return NewKey(s)
		}
	}
}

// ParsePublic names the first key of a PEM file: a public key, a certificate or a private key.
func ParsePublic(text []byte) (Thumbprint, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return Thumbprint{}, api.Refuse(api.InvalidArgument, "the file holds no key: PEM with a PUBLIC KEY, CERTIFICATE or PRIVATE KEY is what is read")
		}
		t, ok, err := nameBlock(block)
		if err != nil {
			return Thumbprint{}, unread("the holder's key", err)
		}
		if ok {
			return t, nil
		}
	}
}

// unread is why a key is not taken. A refusal says it by itself.
func unread(what string, err error) error {
	if _, ok := api.AsError(err); ok {
		return err
	}
	return api.Refuse(api.InvalidArgument, "%s cannot be read: %v", what, err)
}

// errForm is a key that its block only says it is. What the parser says of it is about the parser.
var errForm = errors.New("it is damaged, or of another form than its first line says")

// nameBlock names the key of a PEM block; false is that it has none.
func nameBlock(block *pem.Block) (Thumbprint, bool, error) {
	var public crypto.PublicKey
	switch block.Type {
	case "PUBLIC KEY":
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return Thumbprint{}, false, errForm
		}
		public = key
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Thumbprint{}, false, errForm
		}
		public = c.PublicKey
	default:
		s, err := parsePrivate(block)
		if s == nil || err != nil {
			return Thumbprint{}, false, err
		}
		public = s.Public()
	}
	spki, err := marshal(public)
	return ThumbprintOf(spki), err == nil, err
}

// parsePrivate reads a private key; nil is that the block is none.
func parsePrivate(block *pem.Block) (crypto.Signer, error) {
	switch block.Type {
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errForm
		}
		s, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("it is %s, which does not sign: use Ed25519 or ECDSA P-256", api.KeyKind(key))
		}
		return s, nil
	case "EC PRIVATE KEY":
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, errForm
		}
		return key, nil
	}
	return nil, nil //nolint:nilnil // a block that is no key is nothing wrong
}

// marshal encodes a public key of a kind that cells verify.
func marshal(public crypto.PublicKey) ([]byte, error) {
	if err := known(public); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return spki, nil
}

func known(public crypto.PublicKey) error {
	switch key := public.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return nil
		}
	}
	return api.Refuse(api.InvalidArgument, "a holder's key is Ed25519 or ECDSA P-256, and this one is %s", api.KeyKind(public))
}

// sign signs a text.
func (k *Key) sign(text []byte) ([]byte, error) {
	if _, ok := k.signer.Public().(ed25519.PublicKey); ok {
		sig, err := k.signer.Sign(rand.Reader, text, crypto.Hash(0))
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		return sig, nil
	}
	sum := sha256.Sum256(text)
	sig, err := k.signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}

var errSignature = errors.New("the signature does not verify")

// verify checks a signature of the key whose SubjectPublicKeyInfo this is.
func verify(spki, text, sig []byte) error {
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	if err := known(public); err != nil {
		return err
	}
	switch key := public.(type) {
	case ed25519.PublicKey:
		if ed25519.Verify(key, text, sig) {
			return nil
		}
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(text)
		if ecdsa.VerifyASN1(key, sum[:], sig) {
			return nil
		}
	}
	return errSignature
}

// encode joins pieces so that no two lists of them give the same bytes.
func encode(pieces ...[]byte) []byte {
	size := 8
	for _, p := range pieces {
		size += 8 + len(p)
	}
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, size), uint64(len(pieces)))
	for _, p := range pieces {
		b = append(binary.LittleEndian.AppendUint64(b, uint64(len(p))), p...)
	}
	return b
}
