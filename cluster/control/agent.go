package control

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"math/big"
	"net/url"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/fsm"
)

// Bootstrap trades a one-time token and a CSR for a cell certificate. That a token is used
// once is decided in the replicated state, so that no two schedulers can both take it; the
// same key may come again, for an answer that was lost.
func (c *Control) Bootstrap(ctx context.Context, r api.BootstrapRequest) (*api.BootstrapAnswer, error) {
	if r.Certificate != "" {
		return c.renewLapsed(ctx, r)
	}
	claims, err := c.verifyBootstrap(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := checkBootstrap(r, claims); err != nil {
		return nil, err
	}
	pub, spki, err := pki.ParseCSR([]byte(r.CSR))
	if err != nil {
		return nil, err
	}
	proved, err := c.verifyEvidence(ctx, r, spki)
	if err != nil {
		return nil, err
	}
	res, err := c.cfg.Decider.Submit(ctx, fsm.UseToken{
		Actor: "cell/" + string(r.Provider) + "/" + string(r.CellID), JTI: claims.ID, Purpose: "bootstrap",
		Uses: claims.Uses, Expires: claims.ExpiresAt.Unix(), Provider: r.Provider, Cell: r.CellID, SPKI: spki, Issuer: claims.Issuer,
		Evidence: proved,
	})
	if err != nil {
		return nil, err
	}
	cert, _, err := c.cfg.Material.Sign(pub, pki.CertRequest{
		Identity: pki.Identity{ClusterID: c.cfg.ClusterID, Role: api.RoleCell, Provider: r.Provider, Cell: r.CellID},
		Serial:   serialOf(claims.ID, spki), Now: c.issuedAt(claims, spki), TTL: c.cellCertTTL(),
	})
	if err != nil {
		return nil, err
	}
	c.log.Info("cell certificate issued", "provider", string(r.Provider), "cell_id", string(r.CellID), "index", res.Index)
	return c.certified(cert), nil
}

// issuedAt is when the certificate of a token and key was first asked for. A state of an older
// release does not know it: the certificate then lives from the token on.
func (c *Control) issuedAt(claims pki.BootstrapClaims, spki string) time.Time {
	if at := c.cfg.Machine.View().TokenUsedAt(claims.ID, spki); at > 0 {
		return time.Unix(at, 0)
	}
	return claims.IssuedAt
}

// cellCertTTL is how long a new cell's certificate lives.
func (c *Control) cellCertTTL() time.Duration {
	if c.cfg.Machine.View().Level() < fsm.LevelOf(fsm.RenewIdentity{}) {
		return pki.CellCertTTLUnrenewed
	}
	return pki.CellCertTTL
}

func (c *Control) certified(cert []byte) *api.BootstrapAnswer {
	return &api.BootstrapAnswer{
		ClusterID: c.cfg.ClusterID, Certificate: string(cert), CA: string(c.cfg.Material.CAPEM), Schedulers: c.schedulers(),
	}
}

// serialOf numbers the certificate of one token and key: for a lost answer the same one is
// made again, with the same number and the same end.
func serialOf(jti, spki string) *big.Int {
	sum := sha256.Sum256([]byte(jti + "\n" + spki))
	sum[0] &= 0x7f // positive (RFC 5280, 4.1.2.2)
	return new(big.Int).SetBytes(sum[:16])
}

func checkBootstrap(r api.BootstrapRequest, claims pki.BootstrapClaims) error {
	if err := api.CheckName("provider", string(r.Provider)); err != nil {
		return err
	}
	if err := api.CheckName("cell id", string(r.CellID)); err != nil {
		return err
	}
	if claims.Provider != r.Provider {
		return api.Refuse(api.BootstrapTokenInvalid, "the token is for provider %s, not %s", claims.Provider, r.Provider).
			WithHint("mint one for it: grafos admin bootstrap-token --provider %s", r.Provider)
	}
	if claims.CellID != "" && claims.CellID != r.CellID {
		return api.Refuse(api.BootstrapTokenInvalid, "the token is for cell %s, not %s", claims.CellID, r.CellID).
			WithHint("mint one for it: grafos admin bootstrap-token --provider %s --cell-id %s", r.Provider, r.CellID)
	}
	if block, _ := pem.Decode([]byte(r.CSR)); block == nil {
		return api.Refuse(api.InvalidArgument, "csr is not a PEM certificate request")
	}
	return nil
}

// checkDataURL refuses an address that schedulers and tenants could not ask under the cell's certificate. A
// cell may have none.
func checkDataURL(text string) error {
	if text == "" {
		return nil
	}
	at, err := url.Parse(text)
	if err == nil && at.Scheme == "https" && at.Host != "" && at.User == nil && at.RawQuery == "" && at.Fragment == "" {
		return nil
	}
	return api.Refuse(api.InvalidArgument, "data_url %.80q is not https://HOST:PORT", text).
		WithHint("it is where leases of the cell are used: see --data-advertise of the agent")
}

// Register makes or renews a cell's record under its certificate.
func (c *Control) Register(ctx context.Context, r api.RegisterRequest) (*api.RegisterAnswer, error) {
	caller := api.CallerFrom(ctx)
	if caller.Role != api.RoleCell || caller.Provider != r.Provider || caller.Cell != r.CellID {
		return nil, api.Refuse(api.IdentityMismatch, "the certificate is of %s, the request of cell/%s/%s", caller.Actor(), r.Provider, r.CellID).
			WithHint("start the agent with the provider and cell id of its certificate")
	}
	if err := checkDataURL(r.DataURL); err != nil {
		return nil, err
	}
	if err := c.vouchedFor(caller); err != nil {
		return nil, err
	}
	res, err := c.cfg.Decider.Submit(ctx, fsm.RegisterCell{
		Actor: caller.Actor(), Provider: r.Provider, Cell: r.CellID,
		Identity: api.Identity{SPKI: caller.SPKI, Serial: caller.Serial, NotAfter: caller.NotAfter.Unix()},
		Agent:    r.Agent, BrokerKey: r.BrokerKey, DataURL: r.DataURL, Version: r.Version,
	})
	if err != nil {
		return nil, err
	}
	// What this node has not applied yet, it does not know the numbers of.
	wait, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	if err := c.cfg.Machine.WaitIndex(wait, res.Index); err != nil {
		return nil, api.Refuse(api.NoLeader, "scheduler %s is behind: it has not applied the registration of cell %s yet", c.cfg.Node, r.CellID)
	}
	v := c.cfg.Machine.View()
	heartbeat, limit := c.timers()
	return &api.RegisterAnswer{
		Fence: v.Epoch(), ClusterEpoch: v.ClusterEpoch(),
		Index: res.Index, ClusterID: c.cfg.ClusterID, Epoch: res.CellEpoch,
		HeartbeatMs: heartbeat.Milliseconds(), LimitMs: limit.Milliseconds(), WarmupMs: c.cfg.Warmup.Milliseconds(),
		Schedulers: c.schedulers(),
	}, nil
}

// timers are those of the fleet as it is now.
func (c *Control) timers() (heartbeat, limit time.Duration) {
	return api.FleetTimers(c.cfg.Heartbeat, c.cfg.Limit, c.cfg.Machine.View().CellCount())
}

// urls are the API addresses of the live schedulers, looked up at most every urlsKeep: every
// session asks for them at every change.
type urls struct {
	mu   sync.Mutex
	at   time.Time
	list []string
}

const urlsKeep = 200 * time.Millisecond

func (c *Control) schedulers() []string {
	c.urls.mu.Lock()
	defer c.urls.mu.Unlock()
	now := c.cfg.Clock.Now()
	if now.Sub(c.urls.at) < urlsKeep {
		return c.urls.list
	}
	var list []string
	for _, p := range c.cfg.Cluster.Peers() {
		if p.Alive && p.URL != "" {
			list = append(list, p.URL)
		}
	}
	c.urls.at, c.urls.list = now, list
	return list
}

// current refuses a session or report of a cell that is not registered, is revoked, or is not
// in that epoch. A node that is behind catches up first.
func (c *Control) current(ctx context.Context, p api.ProviderID, id api.CellID, epoch uint64) error {
	v := c.cfg.Machine.View()
	rec, ok := v.Cell(id)
	if !ok || rec.Epoch < epoch {
		var err error
		if v, err = c.cfg.Cluster.Read(ctx); err != nil {
			return err
		}
		rec, ok = v.Cell(id)
	}
	switch {
	case !ok && v.ClusterEpoch() > 0:
		return unregistered(id)
	case !ok || rec.Provider != p:
		return api.Refuse(api.NotFound, "cell %s of provider %s is not registered", id, p).WithHint("register first")
	case rec.Revoked:
		return revoked(rec)
	case rec.Epoch != epoch:
		return api.Refuse(api.StaleEpoch, "cell %s is at epoch %d, this agent at %d: another agent registered under its id", id, rec.Epoch, epoch).
			WithHint("run one agent a cell, or register again")
	}
	return nil
}

// unregistered is the answer to a cell that registered, perhaps, in a past that was lost with a
// recovery or a restore.
func unregistered(id api.CellID) *api.Error {
	return api.Refuse(api.StaleEpoch, "cell %s is not registered since the cluster was recovered", id).WithHint("register again")
}

func revoked(rec api.CellRecord) *api.Error {
	return api.Refuse(api.IdentityRevoked, "the identity of cell %s of provider %s is revoked, for ever", rec.ID, rec.Provider).
		WithHint("bring the host up as a cell with a new id")
}

// UseLogin commits that a console login token was used; a second use is refused.
func (c *Control) UseLogin(ctx context.Context, l pki.LoginClaims) error {
	res, err := c.cfg.Decider.Submit(ctx, fsm.UseToken{
		Actor: string(l.Role) + "/" + l.Name, JTI: l.ID, Purpose: "login", Uses: 1, Expires: l.ExpiresAt.Unix(),
	})
	if api.KindOf(err) == api.BootstrapTokenUsed || err == nil && res.Replayed {
		return api.Refuse(api.Forbidden, "the login link was used already").WithHint("make a new one: grafos dev status")
	}
	return err
}
