package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/jwks"
	"github.com/grafos/grafos/capbroker/pki"
)

// MaxToken bounds a token in bytes: those of others carry more than ours.
const MaxToken = 8 << 10

// Issuers are all that a cluster trusts.
type Issuers struct {
	by map[string]*Config
}

// New checks the issuers of a cluster. What makes no sense is refused with invalid_argument.
func New(clusterID string, all []Config) (*Issuers, error) {
	if len(all) > MaxIssuers {
		return nil, bad("%d issuers: at most %d", len(all), MaxIssuers)
	}
	s := &Issuers{by: map[string]*Config{}}
	for _, c := range all {
		if err := c.check(clusterID); err != nil {
			return nil, err
		}
		if _, twice := s.by[c.Issuer]; twice {
			return nil, bad("issuer %s is there twice", c.Issuer)
		}
		s.by[c.Issuer] = &c
	}
	return s, nil
}

// Foreign reports whether a token is to be verified here: it says that it is of an issuer with an
// address, which no cluster's id is. Nothing of it is proved yet.
func Foreign(token string) bool {
	parts := strings.SplitN(token, ".", 3)
	if len(parts) != 3 || len(token) > MaxToken {
		return false
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct {
		Issuer string `json:"iss"`
	}
	return err == nil && json.Unmarshal(body, &c) == nil && strings.Contains(c.Issuer, "://")
}

// Verify verifies a token of one of the issuers that is to bring in a cell of a provider. What is
// refused is bootstrap_token_invalid and says which issuer's token it is and which check failed.
func (s *Issuers) Verify(ctx context.Context, token string, provider api.ProviderID, now time.Time) (pki.BootstrapClaims, error) {
	t, name, err := parse(token)
	if err != nil {
		return pki.BootstrapClaims{}, refuse("the bootstrap token", err)
	}
	c, ok := s.by[name]
	if !ok {
		return pki.BootstrapClaims{}, api.Refuse(api.BootstrapTokenInvalid, "the bootstrap token is of issuer %.200q, which this cluster does not trust", name).
			WithHint("name the issuer in the file of grafos server --bootstrap-trust, to the letter, or mint a token: grafos admin bootstrap-token --provider %s", provider)
	}
	claims, err := c.verify(ctx, t, provider, now)
	if p, ok := api.AsError(err); ok && p.Kind == api.BootstrapTokenInvalid {
		return pki.BootstrapClaims{}, p
	}
	if err != nil {
		return pki.BootstrapClaims{}, refuse("the bootstrap token of issuer "+c.Issuer, err)
	}
	return claims, nil
}

func refuse(what string, err error) error {
	return api.Refuse(api.BootstrapTokenInvalid, "%s %v", what, err).
		WithHint("get another one from the issuer, or change what is asked of it in the file of grafos server --bootstrap-trust")
}

// parse reads the envelope, and whose token it says it is.
func parse(token string) (*jwks.Token, string, error) {
	t, err := jwks.ParseToken(token, MaxToken)
	if err != nil {
		return nil, "", err
	}
	// One for a login or a logout is not a bootstrap token, whoever signed it.
	if typ := t.Type(); typ != "" && !strings.EqualFold(typ, "JWT") {
		return nil, "", fmt.Errorf("has the type %.40q: a bootstrap token is a plain JWT", typ)
	}
	var c jwt.Claims
	if err := t.Peek(&c); err != nil {
		return nil, "", fmt.Errorf("has claims that cannot be read: %w", err)
	}
	return t, c.Issuer, nil
}

// verify checks everything of a token of this issuer.
func (c *Config) verify(ctx context.Context, t *jwks.Token, provider api.ProviderID, now time.Time) (pki.BootstrapClaims, error) {
	key, err := c.key(ctx, t)
	if err != nil {
		return pki.BootstrapClaims{}, err
	}
	var std jwt.Claims
	var all map[string]any
	if err := t.Verify(key, &std, &all); err != nil {
		return pki.BootstrapClaims{}, err
	}
	if err := c.checkStandard(std, now); err != nil {
		return pki.BootstrapClaims{}, err
	}
	for name, want := range c.Require {
		if got, ok := claim(all, name).(string); !ok || got != want {
			return pki.BootstrapClaims{}, fmt.Errorf("has no claim %s of the value that is asked for", name)
		}
	}
	out := pki.BootstrapClaims{
		ID: scoped(c.Issuer, std.ID), Issuer: c.Issuer, Provider: provider, Uses: 1,
		IssuedAt: std.IssuedAt.Time().UTC(), ExpiresAt: std.Expiry.Time().UTC(),
	}
	return out, c.own(&out, all)
}

// scoped is the id under which a use is counted: an issuer chooses the ids of its own tokens, and of
// nobody else's.
func scoped(issuer, jti string) string {
	sum := sha256.Sum256([]byte(issuer + "|" + jti))
	return "ext-" + hex.EncodeToString(sum[:])
}

func (c *Config) key(ctx context.Context, t *jwks.Token) (jwks.Key, error) {
	if !slices.Contains(c.Algorithms, t.Algorithm()) {
		return jwks.Key{}, fmt.Errorf("is signed with algorithm %.20q: of this issuer %s are taken", t.Algorithm(), strings.Join(c.Algorithms, ", "))
	}
	if t.KeyID() == "" {
		return jwks.Key{}, errors.New("does not say which key it is signed with (kid)")
	}
	key, err := c.Keys.Key(ctx, t.KeyID())
	if _, ok := errors.AsType[*jwks.UnavailableError](err); ok {
		return jwks.Key{}, c.later(err).
			WithHint("look whether the leading scheduler has the issuer's keys, and try again with the same token: it is not used")
	}
	if _, ok := errors.AsType[*jwks.NoKeyError](err); ok {
		return jwks.Key{}, c.later(err).
			WithHint("if the issuer has a new key, try again with the same token, which is not used: the keys are looked up once in %s; else get another one from the issuer", jwks.Pause)
	}
	if err != nil {
		return jwks.Key{}, fmt.Errorf("cannot be verified: %w", err)
	}
	return key, nil
}

// later refuses a token that may be verified when the keys have been looked up again.
func (c *Config) later(why error) *api.Error {
	p := api.Refuse(api.BootstrapTokenInvalid, "the bootstrap token of issuer %s cannot be verified: %v", c.Issuer, why)
	p.RetryAfterMs = jwks.Pause.Milliseconds()
	return p
}

// checkStandard checks the claims that every JWT may have and a bootstrap token must.
func (c *Config) checkStandard(std jwt.Claims, now time.Time) error {
	if std.Issuer != c.Issuer {
		return fmt.Errorf("is of issuer %.200q", std.Issuer)
	}
	if len(std.Audience) != 1 || std.Audience[0] != c.Audience {
		return fmt.Errorf("is meant for %.200q (aud), and not for %q alone", strings.Join(std.Audience, " "), c.Audience)
	}
	if std.ID == "" || len(std.ID) > 512 {
		return errors.New("has no id (jti) of 1 to 512 bytes: without one it could be used for ever")
	}
	if std.Expiry == nil || std.IssuedAt == nil {
		return errors.New("does not say when it was issued (iat) and when it ends (exp)")
	}
	end, issued := std.Expiry.Time(), std.IssuedAt.Time()
	switch {
	case !now.Before(end):
		return fmt.Errorf("expired %s ago, on %s", now.Sub(end).Truncate(time.Second), end.UTC().Format(time.RFC3339))
	case issued.Sub(now) > pki.ClockTolerance:
		return fmt.Errorf("was issued %s in the future: compare the clocks", issued.Sub(now).Truncate(time.Second))
	case std.NotBefore != nil && std.NotBefore.Time().Sub(now) > pki.ClockTolerance:
		return fmt.Errorf("is not valid yet: from %s on (nbf)", std.NotBefore.Time().UTC().Format(time.RFC3339))
	case end.Sub(issued) > c.MaxTTL:
		return fmt.Errorf("lives %s: of this issuer at most %s are taken (max_ttl)", end.Sub(issued), c.MaxTTL)
	case !end.After(issued):
		return errors.New("ends before it was issued")
	}
	return nil
}

// own reads the claims that are about cells.
func (c *Config) own(out *pki.BootstrapClaims, all map[string]any) error {
	named, err := text(all, c.ProviderClaim, claimProvider)
	if err != nil {
		return err
	}
	if named == "" && len(c.Providers) > 1 {
		return fmt.Errorf("names no provider, and the issuer is trusted for %d: have it say one as the claim %q", len(c.Providers), claimProvider)
	}
	if named != "" {
		out.Provider = api.ProviderID(named)
	}
	if !slices.Contains(c.Providers, out.Provider) {
		return fmt.Errorf("is for provider %.63q, and the issuer is not trusted for it", string(out.Provider))
	}
	cell, err := text(all, c.CellClaim, claimCell)
	if err != nil {
		return err
	}
	if cell != "" {
		if err := api.CheckName("cell id", cell); err != nil {
			return fmt.Errorf("says nothing sensible: %w", err)
		}
	}
	out.CellID = api.CellID(cell)
	if c.UsesClaim == "" {
		return nil
	}
	n, ok := claim(all, c.UsesClaim).(float64)
	if !ok || n != float64(int(n)) || n < 1 || n > pki.MaxBootstrapUses {
		return fmt.Errorf("has no claim %s that is a whole number from 1 to %d", c.UsesClaim, pki.MaxBootstrapUses)
	}
	out.Uses = int(n)
	return nil
}

// text reads a claim that the operator named, or the usual one, which may be missing.
func text(all map[string]any, named, usual string) (string, error) {
	if named == "" {
		v, ok := all[usual]
		if !ok {
			return "", nil
		}
		if s, ok := v.(string); ok {
			return s, nil
		}
		return "", fmt.Errorf("has a claim %s that is no text", usual)
	}
	s, ok := claim(all, named).(string)
	if !ok || s == "" {
		return "", fmt.Errorf("has no claim %s that is a text", named)
	}
	return s, nil
}

// claim finds a claim by its name or, where that begins with '/', by its JSON pointer (RFC 6901).
func claim(all map[string]any, name string) any {
	if !strings.HasPrefix(name, "/") {
		return all[name]
	}
	var at any = all
	for step := range strings.SplitSeq(name[1:], "/") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
	}
	return at
}
