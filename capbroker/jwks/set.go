package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/grafos/grafos/api"
)

// Bounds of a set.
const (
	// MaxSize bounds the document in bytes.
	MaxSize = 256 << 10
	// MaxKeys bounds how many keys it has.
	MaxKeys = 128
	// MaxKID bounds the name of a key in bytes.
	MaxKID = 256
)

// The sizes of an RSA key that is taken, in bits: a shorter one is weak, a longer one only slow.
const (
	minRSA = 2048
	maxRSA = 8192
)

// Algorithms lists the ones that a key may be for: there is no other, and no key is for two.
func Algorithms() []string {
	return []string{string(jose.RS256), string(jose.ES256), string(jose.EdDSA)}
}

// Key is a public key that verifies signatures.
type Key struct {
	ID        string
	Algorithm string // the only one that it is for
	Public    any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// Set is the keys of one document by their names.
type Set map[string]Key

// about is what is looked at of a key before it is read.
type about struct {
	Type      string   `json:"kty"`
	Curve     string   `json:"crv"`
	Use       string   `json:"use"`
	Ops       []string `json:"key_ops"`
	Algorithm string   `json:"alg"`
	ID        string   `json:"kid"`

	// What only a private or shared key has.
	D json.RawMessage `json:"d"`
	P json.RawMessage `json:"p"`
	Q json.RawMessage `json:"q"`
	K json.RawMessage `json:"k"`
}

// Parse reads a set. Keys of other kinds, for other uses or without a name are left out, since an
// issuer may have them; a set that holds a secret, two keys of one name or nothing of use is refused
// whole.
func Parse(doc []byte) (Set, error) {
	if len(doc) > MaxSize {
		return nil, fmt.Errorf("the key set is %d bytes long: at most %d", len(doc), MaxSize)
	}
	var all struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(doc, &all); err != nil {
		return nil, fmt.Errorf("the key set is not a JSON Web Key Set: %w", err)
	}
	if len(all.Keys) > MaxKeys {
		return nil, fmt.Errorf("the key set has %d keys: at most %d", len(all.Keys), MaxKeys)
	}
	set := Set{}
	for n, raw := range all.Keys {
		if err := set.add(n+1, raw); err != nil {
			return nil, err
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("none of the %d keys of the set has a name (kid) and is for signatures of one of %v", len(all.Keys), Algorithms())
	}
	return set, nil
}

func (s Set) add(n int, raw json.RawMessage) error {
	var a about
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("key %d of the set cannot be read: %w", n, err)
	}
	if a.Type == "oct" || a.D != nil || a.P != nil || a.Q != nil || a.K != nil {
		return fmt.Errorf("key %d of the set, %.64q, is a secret: whoever made the set has published it, and nothing that it signed is worth anything", n, a.ID)
	}
	algorithm := a.algorithm()
	if algorithm == "" || a.ID == "" {
		return nil
	}
	if len(a.ID) > MaxKID {
		return fmt.Errorf("the name (kid) of key %d of the set is %d bytes long: at most %d", n, len(a.ID), MaxKID)
	}
	if _, twice := s[a.ID]; twice {
		return fmt.Errorf("two keys of the set have the name (kid) %.64q", a.ID)
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(raw); err != nil {
		return fmt.Errorf("key %.64q of the set cannot be read: %w", a.ID, err)
	}
	if err := check(algorithm, k.Key); err != nil {
		return fmt.Errorf("key %.64q of the set %w", a.ID, err)
	}
	s[a.ID] = Key{ID: a.ID, Algorithm: algorithm, Public: k.Key}
	return nil
}

// algorithm is the one that a key is for, "" when it is of no use here.
func (a about) algorithm() string {
	if a.Use != "" && a.Use != "sig" || !verifies(a.Ops) {
		return ""
	}
	var is jose.SignatureAlgorithm
	switch {
	case a.Type == "RSA":
		is = jose.RS256
	case a.Type == "EC" && a.Curve == "P-256":
		is = jose.ES256
	case a.Type == "OKP" && a.Curve == "Ed25519":
		is = jose.EdDSA
	default:
		return ""
	}
	if a.Algorithm != "" && a.Algorithm != string(is) {
		return ""
	}
	return string(is)
}

func verifies(ops []string) bool {
	if slices.Contains(ops, "verify") {
		return true
	}
	return len(ops) == 0
}

// check refuses a key that is not what its own description says, or is weak.
func check(algorithm string, key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("is an RSA key of %d bits: from %d to %d are taken", bits, minRSA, maxRSA)
		}
		if algorithm == string(jose.RS256) {
			return nil
		}
	case *ecdsa.PublicKey:
		if algorithm == string(jose.ES256) && k.Curve == elliptic.P256() {
			return nil
		}
	case ed25519.PublicKey:
		if algorithm == string(jose.EdDSA) {
			return nil
		}
	}
	return fmt.Errorf("is %s, and not for %s", api.KeyKind(key), algorithm)
}
