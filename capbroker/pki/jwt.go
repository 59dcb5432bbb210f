package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/grafos/grafos/api"
)

// MaxToken bounds a signed token, in bytes.
const MaxToken = 4 << 10

// tokenVersion is the only version of the claims that is known: a verifier that ignored a
// claim of a later one might grant what that claim takes away.
const tokenVersion = 1

// audience says what a token is for. A token of one audience is never taken for another.
type audience string

const (
	audBootstrap audience = "grafos-bootstrap"
	audLogin     audience = "grafos-login"
	audSession   audience = "grafos-session"
)

// word names the audience's tokens in a refusal: "bootstrap token".
func (a audience) word() string { return strings.TrimPrefix(string(a), "grafos-") + " token" }

// typ is the header that says the audience again, so that it is checked before the claims
// are read.
func (a audience) typ() string { return string(a) + "+jwt" }

// claims is everything that any token says; each audience uses what it needs.
type claims struct {
	jwt.Claims

	Version  int            `json:"v"`
	Provider api.ProviderID `json:"provider,omitempty"`
	Cell     api.CellID     `json:"cell_id,omitempty"`
	Uses     int            `json:"uses,omitempty"`
	CAPin    string         `json:"ca_pin,omitempty"`
	Role     api.Role       `json:"role,omitempty"`
}

// algorithms is the whole list of what a token may be signed with.
func algorithms() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.EdDSA} }

// newTokenID returns 130 random bits in base32.
func newTokenID() string { return rand.Text() }

// mint signs claims for an audience; issuer, audience and version are filled in.
func (m *Material) mint(a audience, c claims) (string, error) {
	c.Issuer, c.Audience, c.Version = m.ClusterID, jwt.Audience{string(a)}, tokenVersion
	opts := (&jose.SignerOptions{}).WithType(jose.ContentType(a.typ()))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: m.jwtKey}, opts)
	if err != nil {
		return "", fmt.Errorf("make signer: %w", err)
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", a.word(), err)
	}
	if len(token) > MaxToken {
		return "", api.Refuse(api.TooLarge, "%s would be %d bytes long: at most %d", a.word(), len(token), MaxToken)
	}
	return token, nil
}

// open verifies a token for an audience and returns its claims. Its error says which check
// failed; the caller gives it a kind.
func (m *Material) open(a audience, token string, now time.Time) (claims, error) {
	t, err := parseToken(a, token)
	if err != nil {
		return claims{}, err
	}
	pub, ok := m.jwtKey.Public().(ed25519.PublicKey)
	if !ok {
		return claims{}, errors.New("the cluster's token key is not Ed25519")
	}
	var c claims
	if err := t.Claims(pub, &c); errors.Is(err, jose.ErrCryptoFailure) {
		return claims{}, m.signatureFault(t, a)
	} else if err != nil {
		return claims{}, fmt.Errorf("the claims of the %s cannot be read: %w", a.word(), err)
	}
	if c.Issuer != m.ClusterID {
		return claims{}, otherCluster(a, c.Issuer, m.ClusterID)
	}
	if err := c.checkShape(a); err != nil {
		return claims{}, err
	}
	return c, c.checkTime(a, now)
}

// peek reads a token's claims without verifying its signature or its time.
func peek(a audience, token string) (claims, error) {
	t, err := parseToken(a, token)
	if err != nil {
		return claims{}, err
	}
	var c claims
	if err := t.UnsafeClaimsWithoutVerification(&c); err != nil {
		return claims{}, fmt.Errorf("the claims of the %s cannot be read: %w", a.word(), err)
	}
	return c, c.checkShape(a)
}

// parseToken reads the envelope: size, canonical encoding, algorithm and type.
func parseToken(a audience, token string) (*jwt.JSONWebToken, error) {
	if token == "" {
		return nil, fmt.Errorf("the %s is empty", a.word())
	}
	if len(token) > MaxToken {
		return nil, fmt.Errorf("the %s is %d bytes long: at most %d", a.word(), len(token), MaxToken)
	}
	if err := canonical(token); err != nil {
		return nil, fmt.Errorf("the %s is not a compact JWT: %w", a.word(), err)
	}
	t, err := jwt.ParseSigned(token, algorithms())
	if e, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, fmt.Errorf("the %s is signed with algorithm %.20q: only EdDSA is taken", a.word(), string(e.Got))
	}
	if err != nil {
		return nil, fmt.Errorf("the %s cannot be read: %w", a.word(), err)
	}
	if len(t.Headers) != 1 || t.Headers[0].ExtraHeaders[jose.HeaderType] != a.typ() {
		return nil, fmt.Errorf("the token is not a %s: its type is not %q", a.word(), a.typ())
	}
	return t, nil
}

// canonical refuses all spellings of the three parts but one. base64 has several for the
// same bytes (line breaks, unused bits), and two spellings of one token would be two
// tokens to whoever compares them.
func canonical(token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return fmt.Errorf("it has %d parts, not 3", len(parts))
	}
	for i, part := range parts {
		if strings.ContainsAny(part, "\r\n") {
			return fmt.Errorf("part %d has a line break", i+1)
		}
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return fmt.Errorf("part %d is not base64url: %w", i+1, err)
		}
	}
	return nil
}

// signatureFault tells a token of another cluster from one that was tampered with. The
// claims are not to be trusted, but the answer is no either way.
func (m *Material) signatureFault(t *jwt.JSONWebToken, a audience) error {
	var c claims
	if err := t.UnsafeClaimsWithoutVerification(&c); err == nil && c.Issuer != m.ClusterID {
		return otherCluster(a, c.Issuer, m.ClusterID)
	}
	return fmt.Errorf("the signature of the %s does not verify with the key of cluster %s", a.word(), m.ClusterID)
}

func otherCluster(a audience, got, want string) error {
	return fmt.Errorf("the %s is of cluster %.63q, this is cluster %q", a.word(), got, want)
}

// checkShape refuses claims that no mint of this version makes.
func (c claims) checkShape(a audience) error {
	if c.Version != tokenVersion {
		return fmt.Errorf("the %s has version %d: this grafos reads version %d", a.word(), c.Version, tokenVersion)
	}
	if len(c.Audience) != 1 || c.Audience[0] != string(a) {
		return fmt.Errorf("the audience of the %s is %.80q, not %q", a.word(), strings.Join(c.Audience, " "), a)
	}
	if c.ID == "" || len(c.ID) > api.MaxNameLen {
		return fmt.Errorf("the id of the %s is %d bytes long: from 1 to %d", a.word(), len(c.ID), api.MaxNameLen)
	}
	if c.Expiry == nil || c.IssuedAt == nil {
		return fmt.Errorf("the %s does not say when it was issued and when it ends", a.word())
	}
	return nil
}

// checkTime refuses a token past its end, to the second, and one from too far ahead.
func (c claims) checkTime(a audience, now time.Time) error {
	end, issued := c.Expiry.Time(), c.IssuedAt.Time()
	if !now.Before(end) {
		return fmt.Errorf("%s expired %s ago, on %s", a.word(), span(now.Sub(end)), end.UTC().Format(time.RFC3339))
	}
	if ahead := issued.Sub(now); ahead > ClockTolerance {
		return fmt.Errorf("%s was issued %s in the future: compare the schedulers' clocks (at most %s apart)", a.word(), span(ahead), ClockTolerance)
	}
	return nil
}
