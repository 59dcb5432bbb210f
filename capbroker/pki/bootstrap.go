package pki

import (
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/grafos/grafos/api"
)

// Bounds of a bootstrap token.
const (
	// BootstrapTTL is how long it lives when nothing else is asked for.
	BootstrapTTL = 15 * time.Minute
	// MaxBootstrapTTL bounds what may be asked for.
	MaxBootstrapTTL = 7 * 24 * time.Hour
	// MaxBootstrapUses bounds how many keys one token may bring in.
	MaxBootstrapUses = 1000
)

// BootstrapClaims is what a provider-bootstrap token says: who holds it may have cells of
// one provider certified, or one cell of it. How often it was used the replicated state
// knows, not the token.
type BootstrapClaims struct {
	ID string // jti, or what stands for the jti of another issuer
	// Issuer is another issuer than this cluster; "" is none.
	Issuer    string
	ClusterID string
	Provider  api.ProviderID
	CellID    api.CellID // "" is any cell of the provider
	Uses      int        // how many keys; at least 1
	// CAPin is the fingerprint of the cluster's CA. Peeked at, it may be empty where the
	// token is another issuer's.
	CAPin               string
	IssuedAt, ExpiresAt time.Time // to the second
}

// MintBootstrap signs a bootstrap token. Where they are empty it fills in ID, ClusterID,
// CAPin, IssuedAt (now), ExpiresAt (BootstrapTTL later) and Uses (1). What makes no sense
// is refused with invalid_argument, another cluster's id or pin with identity_mismatch.
func (m *Material) MintBootstrap(c BootstrapClaims) (string, error) {
	m.fillBootstrap(&c)
	if c.ClusterID != m.ClusterID || c.CAPin != m.CAPin() {
		return "", api.Refuse(api.IdentityMismatch, "the token is to be of cluster %.63q with CA %.80q: this is cluster %s with CA %s",
			c.ClusterID, c.CAPin, m.ClusterID, m.CAPin())
	}
	if err := c.check(); err != nil {
		return "", err
	}
	return m.mint(audBootstrap, claims{
		Claims: jwt.Claims{
			ID: c.ID, IssuedAt: jwt.NewNumericDate(c.IssuedAt), Expiry: jwt.NewNumericDate(c.ExpiresAt),
		},
		Provider: c.Provider, Cell: c.CellID, Uses: c.Uses, CAPin: c.CAPin,
	})
}

func (m *Material) fillBootstrap(c *BootstrapClaims) {
	if c.ID == "" {
		c.ID = newTokenID()
	}
	if c.ClusterID == "" {
		c.ClusterID = m.ClusterID
	}
	if c.CAPin == "" {
		c.CAPin = m.CAPin()
	}
	if c.IssuedAt.IsZero() {
		c.IssuedAt = time.Now()
	}
	if c.ExpiresAt.IsZero() {
		c.ExpiresAt = c.IssuedAt.Add(BootstrapTTL)
	}
	if c.Uses == 0 {
		c.Uses = 1
	}
	c.IssuedAt, c.ExpiresAt = c.IssuedAt.Truncate(time.Second), c.ExpiresAt.Truncate(time.Second)
}

// check refuses claims that say nothing sensible.
func (c BootstrapClaims) check() error {
	if len(c.ID) > api.MaxNameLen {
		return api.Refuse(api.InvalidArgument, "token id is %d bytes long: at most %d", len(c.ID), api.MaxNameLen)
	}
	if err := api.CheckName("provider", string(c.Provider)); err != nil {
		return err
	}
	if c.CellID != "" {
		if err := api.CheckName("cell id", string(c.CellID)); err != nil {
			return err
		}
	}
	if c.Uses < 1 || c.Uses > MaxBootstrapUses {
		return api.Refuse(api.InvalidArgument, "uses is %d: from 1 to %d", c.Uses, MaxBootstrapUses)
	}
	if ttl := c.ExpiresAt.Sub(c.IssuedAt); ttl < time.Second || ttl > MaxBootstrapTTL {
		return api.Refuse(api.InvalidArgument, "ttl is %s: from 1s to %s", ttl, MaxBootstrapTTL)
	}
	return nil
}

// VerifyBootstrap verifies a bootstrap token of this cluster. Everything else is refused
// with bootstrap_token_invalid and the one check that failed: "bootstrap token expired
// 3m12s ago".
func (m *Material) VerifyBootstrap(token string, now time.Time) (BootstrapClaims, error) {
	opened, err := m.open(audBootstrap, token, now)
	if err != nil {
		return BootstrapClaims{}, badBootstrap(err)
	}
	c := opened.bootstrap()
	if c.CAPin != m.CAPin() {
		return BootstrapClaims{}, api.Refuse(api.BootstrapTokenInvalid, "the bootstrap token pins CA %.80q, this cluster's is %s", c.CAPin, m.CAPin())
	}
	if err := c.check(); err != nil {
		return BootstrapClaims{}, badBootstrap(err)
	}
	return c, nil
}

// PeekBootstrap reads a bootstrap token without verifying it: nothing that it says is
// proved. It is how a cell learns which CA to pin before it shows the token to anybody.
func PeekBootstrap(token string) (BootstrapClaims, error) {
	peeked, err := peek(audBootstrap, token)
	if err != nil {
		return BootstrapClaims{}, badBootstrap(err)
	}
	c := peeked.bootstrap()
	if err := c.check(); err != nil {
		return BootstrapClaims{}, badBootstrap(err)
	}
	if err := checkClusterID(c.ClusterID); err != nil {
		return BootstrapClaims{}, badBootstrap(err)
	}
	if c.CAPin != "" {
		if c.CAPin, err = CheckPin(c.CAPin); err != nil {
			return BootstrapClaims{}, badBootstrap(err)
		}
	}
	return c, nil
}

func (c claims) bootstrap() BootstrapClaims {
	return BootstrapClaims{
		ID: c.ID, ClusterID: c.Issuer, Provider: c.Provider, CellID: c.Cell, Uses: c.Uses, CAPin: c.CAPin,
		IssuedAt: c.IssuedAt.Time().UTC(), ExpiresAt: c.Expiry.Time().UTC(),
	}
}

func badBootstrap(err error) error {
	detail := err.Error()
	if p, ok := api.AsError(err); ok {
		detail = "the bootstrap token says nothing sensible: " + p.Detail
	}
	return api.Refuse(api.BootstrapTokenInvalid, "%s", detail).
		WithHint("mint a new one with: grafos admin bootstrap-token --provider P")
}
