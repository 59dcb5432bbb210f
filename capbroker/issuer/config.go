package issuer

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/jwks"
	"github.com/grafos/grafos/capbroker/pki"
)

// MaxIssuers bounds how many a cluster trusts.
const MaxIssuers = 64

// DefaultMaxTTL is how long a token may live from its making where the operator says nothing.
const DefaultMaxTTL = time.Hour

// The names of the claims where the operator gives none. They are optional then; a claim that the
// operator names must be there.
const (
	claimProvider = "provider"
	claimCell     = "cell_id"
)

// Config is one issuer that the cluster trusts.
type Config struct {
	// Issuer is what its tokens say as iss, to the letter.
	Issuer string
	// Keys are those that it signs with.
	Keys *jwks.Source
	// Providers are those that it may bring cells into: one at least.
	Providers []api.ProviderID
	// Audience is what its tokens must be meant for, and nothing else; "" is the cluster's id.
	Audience string
	// Algorithms narrows what they may be signed with; none is every one of jwks.Algorithms.
	Algorithms []string
	// MaxTTL bounds how long a token may live from its making; 0 is DefaultMaxTTL.
	MaxTTL time.Duration
	// ProviderClaim, CellClaim and UsesClaim name the claims that say which provider and which cell a
	// token is for and how many keys it may bring in: the name of one, or a JSON pointer ("/grafos/cell").
	ProviderClaim, CellClaim, UsesClaim string
	// Require are claims that must have exactly these values: what tells the operator's own tokens from
	// everybody else's where one issuer signs for many.
	Require map[string]string
}

func (c *Config) check(clusterID string) error {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || len(c.Issuer) > 512 {
		return bad("issuer %.200q is not an https address", c.Issuer)
	}
	if len(c.Providers) == 0 {
		return bad("issuer %s is trusted for no provider: name them in providers", c.Issuer)
	}
	for _, p := range c.Providers {
		if err := api.CheckName("provider", string(p)); err != nil {
			return bad("issuer %s: %v", c.Issuer, err)
		}
	}
	if c.Audience == "" {
		c.Audience = clusterID
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = jwks.Algorithms()
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(jwks.Algorithms(), a) {
			return bad("issuer %s: algorithm %.40q is not taken: %s are", c.Issuer, a, strings.Join(jwks.Algorithms(), ", "))
		}
	}
	if c.MaxTTL == 0 {
		c.MaxTTL = DefaultMaxTTL
	}
	if c.MaxTTL < time.Second || c.MaxTTL > pki.MaxBootstrapTTL {
		return bad("issuer %s: max_ttl is %s: from 1s to %s", c.Issuer, c.MaxTTL, pki.MaxBootstrapTTL)
	}
	if c.Keys == nil {
		return bad("issuer %s has no keys", c.Issuer)
	}
	return nil
}

// bad is a fault of the operator's file.
func bad(format string, args ...any) error {
	return api.Refuse(api.InvalidArgument, "%s", fmt.Sprintf(format, args...))
}
