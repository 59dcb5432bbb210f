package control

import (
	"context"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/fsm"
)

// Admit refuses a caller whose identity, or whose key, the state has barred.
func (c *Control) Admit(caller api.Caller) error {
	if caller.Role != api.RoleCell {
		return nil
	}
	v := c.cfg.Machine.View()
	if rec, ok := v.Cell(caller.Cell); ok && rec.Revoked {
		return revoked(rec)
	}
	if v.KeyBarred(caller.SPKI) {
		return api.Refuse(api.IdentityRevoked, "the key of %s belongs to a cell that was revoked, for ever", caller.Actor()).
			WithHint("bring the host up as a cell with a new id and a new key")
	}
	return nil
}

// Bound refuses a cell under another key than the one that it is bound to. A node that is behind
// catches up first: a cell that was just renewed is turned away by nobody.
func (c *Control) Bound(ctx context.Context, caller api.Caller) error {
	if caller.Role != api.RoleCell {
		return nil
	}
	v := c.cfg.Machine.View()
	if rec, ok := v.Cell(caller.Cell); ok && v.HoldsKey(&rec, caller.SPKI) {
		return nil
	}
	v, err := c.cfg.Cluster.Read(ctx)
	if err != nil {
		return err
	}
	rec, ok := v.Cell(caller.Cell)
	switch {
	case !ok:
		return nil // what it is not registered for refuses it
	case rec.Revoked:
		return revoked(rec)
	case v.HoldsKey(&rec, caller.SPKI):
		return nil
	case v.Keyless(&rec), caller.SPKI != "" && caller.SPKI == rec.Next.SPKI:
		return api.Refuse(api.StaleEpoch, "cell %s has another key than it has registered with", caller.Cell).WithHint("register again")
	}
	return otherKey(caller)
}

func otherKey(caller api.Caller) *api.Error {
	return api.Refuse(api.IdentityMismatch, "%s is bound to another key than that of the certificate", caller.Actor()).
		WithHint("run one agent a cell, from one identity folder; or bootstrap the host anew: grafos cloud bootstrap-cell --provider %s --cell-id %s",
			caller.Provider, caller.Cell)
}

// RenewIdentity certifies a new key for a cell that shows its old one. What it answers is valid
// only as far as the state knows of it: the cell registers under it.
func (c *Control) RenewIdentity(ctx context.Context, p api.ProviderID, cell api.CellID, r api.RenewalRequest) (*api.BootstrapAnswer, error) {
	caller := api.CallerFrom(ctx)
	if caller.Role != api.RoleCell || caller.Provider != p || caller.Cell != cell {
		return nil, api.Refuse(api.IdentityMismatch, "the certificate is of %s, the request of cell/%s/%s", caller.Actor(), p, cell)
	}
	pub, spki, err := pki.ParseCSR([]byte(r.CSR))
	if err != nil {
		return nil, err
	}
	if spki == caller.SPKI {
		return nil, api.Refuse(api.InvalidArgument, "the request is of the key that the certificate has: a renewal is of a new one")
	}
	return c.renew(ctx, p, cell, caller.SPKI, pub, spki)
}

// renewLapsed certifies the key of a certificate that has ended anew. That the request is signed
// with it is the proof.
func (c *Control) renewLapsed(ctx context.Context, r api.BootstrapRequest) (*api.BootstrapAnswer, error) {
	if r.Token != "" {
		return nil, api.Refuse(api.InvalidArgument, "the request has a token and a certificate: it is proved by one of them")
	}
	leaf, id, err := c.cfg.Material.VerifyLapsed([]byte(r.Certificate), c.cfg.Clock.Wall())
	if err != nil {
		return nil, err
	}
	if id.Provider != r.Provider || id.Cell != r.CellID {
		return nil, api.Refuse(api.IdentityMismatch, "the certificate is of cell/%s/%s, the request of cell/%s/%s", id.Provider, id.Cell, r.Provider, r.CellID)
	}
	pub, spki, err := pki.ParseCSR([]byte(r.CSR))
	if err != nil {
		return nil, err
	}
	if spki != pki.SPKI(leaf) {
		return nil, api.Refuse(api.IdentityMismatch, "the request is signed with another key than that of the certificate")
	}
	return c.renew(ctx, r.Provider, r.CellID, spki, pub, spki)
}

// renew signs, and hands out what it signed when the state knows of it.
func (c *Control) renew(ctx context.Context, p api.ProviderID, cell api.CellID, from string, pub any, spki string) (*api.BootstrapAnswer, error) {
	cert, leaf, err := c.cfg.Material.Sign(pub, pki.CertRequest{
		Identity: pki.Identity{ClusterID: c.cfg.ClusterID, Role: api.RoleCell, Provider: p, Cell: cell}, Now: c.cfg.Clock.Wall(),
	})
	if err != nil {
		return nil, err
	}
	res, err := c.cfg.Decider.Submit(ctx, fsm.RenewIdentity{
		Actor: "cell/" + string(p) + "/" + string(cell), Provider: p, Cell: cell, From: from,
		To: api.Identity{SPKI: spki, Serial: leaf.SerialNumber.Text(16), NotAfter: leaf.NotAfter.Unix()},
	})
	if err != nil {
		return nil, err
	}
	c.log.Info("cell certificate renewed", "provider", string(p), "cell_id", string(cell), "index", res.Index,
		"not_after", leaf.NotAfter, "lapsed", from == spki)
	return c.certified(cert), nil
}
