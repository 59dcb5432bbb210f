package control

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/attest"
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

// verifyEvidence verifies what the host's cloud says of it, as far as the provider asks for that.
func (c *Control) verifyEvidence(ctx context.Context, r api.BootstrapRequest, spki string) (api.Evidence, error) {
	policies := c.cfg.Evidence
	if policies == nil {
		policies = &attest.Policies{}
	}
	e, err := policies.Check(ctx, r.Provider, r.Evidence, attest.Binding{CAPin: c.cfg.Material.CAPin(), SPKI: spki}, c.cfg.Clock.Wall())
	if err != nil || e == nil {
		return api.Evidence{}, err
	}
	return *e, nil
}

// vouchedFor refuses a new cell of a provider that requires evidence where there was none: its
// certificate was made without a bootstrap, or before the provider required it. Cells that are
// registered already stay.
func (c *Control) vouchedFor(caller api.Caller) error {
	if c.cfg.Evidence == nil || !c.cfg.Evidence.Requires(caller.Provider) {
		return nil
	}
	v := c.cfg.Machine.View()
	if rec, known := v.Cell(caller.Cell); known && rec.Provider == caller.Provider || v.Attested(caller.Provider, caller.Cell, caller.SPKI) {
		return nil
	}
	p := api.Refuse(api.AttestationFailed, "provider %s requires evidence, and the key of %s was certified without", caller.Provider, caller.Actor()).
		WithHint("bootstrap the host anew: grafos cloud bootstrap-cell --provider %s --cell-id %s --evidence KIND", caller.Provider, caller.Cell)
	p.Reason = api.AttestationMissing
	return p
}
