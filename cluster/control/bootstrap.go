package control

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/issuer"
	"github.com/grafos/grafos/capbroker/pki"
)

// Issuers verify the bootstrap tokens of others than this cluster.
type Issuers interface {
	Verify(ctx context.Context, token string, provider api.ProviderID, now time.Time) (pki.BootstrapClaims, error)
}

// verifyBootstrap verifies a token of this cluster, or of another issuer that the operator trusts.
func (c *Control) verifyBootstrap(ctx context.Context, r api.BootstrapRequest) (pki.BootstrapClaims, error) {
	now := c.cfg.Clock.Wall()
	if c.cfg.Issuers == nil || !issuer.Foreign(r.Token) {
		return c.cfg.Material.VerifyBootstrap(r.Token, now)
	}
	return c.cfg.Issuers.Verify(ctx, r.Token, r.Provider, now)
}
