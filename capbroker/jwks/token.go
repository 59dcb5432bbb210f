package jwks

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Token is a JWT of which the envelope was read, and nothing verified.
type Token struct {
	parsed *jwt.JSONWebToken
	head   jose.Header
}

// ParseToken reads the envelope of a JWT of at most limit bytes: three parts in their one spelling, and
// an algorithm that a key can be for. Its errors go on from "the token".
func ParseToken(token string, limit int) (*Token, error) {
	if len(token) > limit {
		return nil, fmt.Errorf("is %d bytes long: at most %d", len(token), limit)
	}
	for part := range strings.SplitSeq(token, ".") {
		// Two spellings of one token would be two tokens to whoever compares them.
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, errors.New("is not a compact JWT: a part of it is not base64url")
		}
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA})
	if e, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, fmt.Errorf("is signed with algorithm %.20q: only %s are taken", string(e.Got), strings.Join(Algorithms(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("is not a compact JWT: %w", err)
	}
	if len(parsed.Headers) != 1 {
		return nil, fmt.Errorf("has %d signatures", len(parsed.Headers))
	}
	return &Token{parsed: parsed, head: parsed.Headers[0]}, nil
}

// Type is what the token says it is; "" is that it does not say.
func (t *Token) Type() string {
	typ, said := t.head.ExtraHeaders[jose.HeaderType]
	if !said {
		return ""
	}
	return fmt.Sprint(typ)
}

// Algorithm is the one that it says it is signed with.
func (t *Token) Algorithm() string { return t.head.Algorithm }

// Peek reads claims that nothing proves.
func (t *Token) Peek(claims ...any) error { return t.parsed.UnsafeClaimsWithoutVerification(claims...) }

// Verify verifies the signature with a key, by the algorithm that the key is for, and reads the claims.
func (t *Token) Verify(key Key, claims ...any) error {
	if key.Algorithm != t.head.Algorithm {
		return fmt.Errorf("is signed with algorithm %s, and the key %.64q is for %s", t.head.Algorithm, key.ID, key.Algorithm)
	}
	err := t.parsed.Claims(key.Public, claims...)
	if errors.Is(err, jose.ErrCryptoFailure) {
		return fmt.Errorf("has a signature that does not verify with the key %.64q", key.ID)
	}
	if err != nil {
		return fmt.Errorf("has claims that cannot be read: %w", err)
	}
	return nil
}

// KeyID names the key that it is signed with, "" when it does not say, or says too much.
func (t *Token) KeyID() string {
	if len(t.head.KeyID) > MaxKID {
		return ""
	}
	return t.head.KeyID
}
