package control

import (
	"context"
	"crypto/tls"
	"iter"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster/conformance"
	"github.com/grafos/grafos/fsm"
)

// suiteCaller is who takes the suite's leases.
func suiteCaller() api.Caller {
	return api.Caller{Role: api.RoleTenant, Name: string(api.ConformanceTenant)}
}

// reserved refuses whoever acts for the suite's tenant.
func reserved(t api.TenantID) error {
	if t != api.ConformanceTenant {
		return nil
	}
	return api.Refuse(api.Forbidden, "tenant %s is the conformance suite's own", t).WithHint("grafos conformance run PROVIDER CELL")
}

// maxSuites bounds the suites that run at one time.
const maxSuites = 8

// suites are those that run on this scheduler, which leads.
type suites struct {
	mu      sync.Mutex
	running map[api.CellID]bool
}

// begin takes a place; the caller gives it back.
func (s *suites) begin(c api.CellID) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[c] {
		return nil, api.Refuse(api.Conflict, "the conformance suite runs against cell %s already", c).
			WithHint("wait for its result: grafos fabric cells -o wide")
	}
	if len(s.running) >= maxSuites {
		e := api.Refuse(api.Overloaded, "%d conformance suites run already: at most that many at one time", maxSuites)
		e.RetryAfterMs = 2000
		return nil, e
	}
	if s.running == nil {
		s.running = map[api.CellID]bool{}
	}
	s.running[c] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, c)
	}, nil
}

// ConformCell runs the conformance suite against a cell, here, where the leader is.
func (c *Control) ConformCell(ctx context.Context, p api.ProviderID, id api.CellID, o api.WriteOptions) iter.Seq2[api.ConformanceStep, error] {
	return func(yield func(api.ConformanceStep, error) bool) {
		rec, err := c.provable(p, id)
		if err != nil {
			yield(api.ConformanceStep{}, err)
			return
		}
		if o.DryRun {
			yield(api.ConformanceStep{Report: &api.ConformanceReport{
				Index: c.cfg.Machine.View().Index(), Provider: p, CellID: id, Version: rec.Version, Kinds: conformance.Kinds(&rec), Failed: []api.ConformanceCheck{},
			}}, nil)
			return
		}
		release, err := c.suites.begin(id)
		if err != nil {
			yield(api.ConformanceStep{}, err)
			return
		}
		defer release()
		c.prove(ctx, rec, o.Reason, yield)
	}
}

// prove runs a suite, hands its checks on, and records the result. Whoever does not want to hear more
// of it stops it.
func (c *Control) prove(ctx context.Context, rec api.CellRecord, reason string, yield func(api.ConformanceStep, error) bool) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	checks := make(chan api.ConformanceCheck)
	var report *api.ConformanceReport
	var failure error
	go func() {
		defer close(checks)
		report, failure = c.runSuite(running, rec, func(check api.ConformanceCheck) { checks <- check })
	}()
	left := false
	for check := range checks {
		if !left && !yield(api.ConformanceStep{Check: &check}, nil) {
			left = true
			stop()
		}
	}
	if left {
		return
	}
	if failure == nil {
		failure = c.recordSuite(ctx, rec, reason, report)
	}
	if failure != nil {
		yield(api.ConformanceStep{}, failure)
		return
	}
	yield(api.ConformanceStep{Report: report}, nil)
}

func (c *Control) recordSuite(ctx context.Context, rec api.CellRecord, reason string, r *api.ConformanceReport) error {
	cmd := fsm.RecordConformance{
		Actor: actor(ctx), Provider: rec.Provider, Cell: rec.ID, CellEpoch: rec.Epoch, Passed: r.Passed, Kinds: r.Kinds, Checks: r.Checks, TookMs: r.TookMs,
		Reason: reason,
	}
	for _, f := range r.Failed {
		if len(cmd.Failed) < fsm.MaxFailedChecks {
			cmd.Failed = append(cmd.Failed, f.ID())
		}
	}
	res, err := c.cfg.Decider.Submit(ctx, cmd)
	r.Index = res.Index
	return err
}

// provable returns the cell that a suite is to be run against, or why none can be.
func (c *Control) provable(p api.ProviderID, id api.CellID) (api.CellRecord, error) {
	v := c.cfg.Machine.View()
	if _, ok := v.Provider(p); !ok {
		return api.CellRecord{}, api.Refuse(api.NotFound, "provider %q does not exist", p).WithHint("see which do: grafos provider list")
	}
	rec, ok := v.Cell(id)
	if !ok || rec.Provider != p {
		return rec, api.Refuse(api.NotFound, "provider %s has no cell %q", p, id).WithHint("see which it has: grafos provider status %s", p)
	}
	if !c.cfg.Cluster.Leads() {
		return rec, api.Refuse(api.NoLeader, "this scheduler does not lead")
	}
	if needs, at := fsm.LevelOf(fsm.RecordConformance{}), v.Level(); at < needs {
		return rec, api.Refuse(api.Conflict, "a result needs feature level %d, and the cluster is at %d", needs, at).
			WithHint("the level is raised when every scheduler runs a release that knows it: grafos operator raft list")
	}
	if err := takes(v, rec); err != nil {
		return rec, err
	}
	return rec, conformance.Busy(&rec, v.Free(&rec))
}

// takes refuses a cell that takes no leases.
func takes(v *fsm.View, rec api.CellRecord) error {
	switch {
	case rec.Revoked || rec.Revoking:
		return api.Refuse(api.Conflict, "cell %s is revoked, or is being revoked: it takes no leases any more", rec.ID)
	case rec.Mode == api.ModeReturning:
		return api.Refuse(api.Conflict, "cell %s is returning: it takes leases when it has been steady for the warm-up", rec.ID).WithHint("wait for that: grafos fabric cells -w")
	case !rec.Mode.Takes():
		return api.Refuse(api.Conflict, "cell %s is %s: it takes no leases", rec.ID, rec.Mode).WithHint("grafos fabric undrain %s", rec.ID)
	}
	if ready, reasons := v.Readiness(rec); !ready.Ready() {
		e := api.Refuse(api.NoEligibleProviderCells, "cell %s is not ready: %s: %s", rec.ID, reasons[0].Requirement, reasons[0].Message).
			WithHint("see what is missing: grafos provider status %s", rec.Provider)
		e.Reason, e.Provider = api.ReasonUnready, rec.Provider
		return e
	}
	return nil
}

// runSuite runs a suite as its tenant.
func (c *Control) runSuite(ctx context.Context, rec api.CellRecord, emit func(api.ConformanceCheck)) (*api.ConformanceReport, error) {
	if _, ok := c.cfg.Machine.View().Tenant(api.ConformanceTenant); !ok {
		_, err := c.cfg.Decider.Submit(ctx, fsm.CreateTenant{Actor: "scheduler", Tenant: api.ConformanceTenant, Quota: api.NoQuota()})
		if err != nil && api.KindOf(err) != api.Conflict {
			return nil, err
		}
	}
	reach, err := c.suiteClient(rec)
	if err != nil {
		return nil, err
	}
	defer reach.CloseIdleConnections()
	return conformance.Run(api.WithCaller(ctx, suiteCaller()), conformance.Config{
		Fabric: &suiteFabric{c, rec}, ClusterID: c.cfg.ClusterID, Cell: rec, Free: c.cfg.Machine.View().Free(&rec),
		Direct: reach, Host: c.host(), Clock: c.cfg.Clock, Emit: emit,
	})
}

// host is where the cells reach this scheduler.
func (c *Control) host() string {
	at, err := url.Parse(c.cfg.Cluster.State().URL)
	if err != nil {
		return ""
	}
	return at.Hostname()
}

// suiteLife is how long the certificate lives under which a suite reaches a cell.
const suiteLife = 5 * time.Minute

// suiteClient reaches the data plane of one cell, and of no other, as the suite's tenant.
func (c *Control) suiteClient(rec api.CellRecord) (*http.Client, error) {
	cred, err := c.cfg.Material.Issue(pki.CertRequest{
		Identity: pki.Identity{ClusterID: c.cfg.ClusterID, Role: api.RoleTenant, Name: string(api.ConformanceTenant)},
		TTL:      suiteLife, Now: c.cfg.Clock.Wall(),
	})
	if err != nil {
		return nil, err
	}
	cert, err := cred.TLS()
	if err != nil {
		return nil, err
	}
	conf := pki.ClientTLS(pki.ClientOptions{
		Cert: func() (*tls.Certificate, error) { return &cert, nil }, Roots: c.cfg.Material.Pool(), ClusterID: c.cfg.ClusterID,
		Server: api.RoleCell, Provider: rec.Provider, Cell: rec.ID,
	})
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // a cell sends this scheduler nowhere else
	return &http.Client{CheckRedirect: stay, Transport: &http.Transport{TLSClientConfig: conf, MaxIdleConnsPerHost: 16, TLSHandshakeTimeout: 5 * time.Second}}, nil
}

// MarkProvider marks all cells of a provider.
func (c *Control) MarkProvider(ctx context.Context, p api.ProviderID, r api.MarkRequest, o api.WriteOptions) (*api.ProviderStatus, error) {
	if err := c.mark(ctx, fsm.MarkCell{Provider: p, Production: r.Production}, o); err != nil {
		return nil, err
	}
	return c.status(c.cfg.Machine.View(), p)
}

// MarkCell marks one cell.
func (c *Control) MarkCell(ctx context.Context, id api.CellID, r api.MarkRequest, o api.WriteOptions) (*api.CellAnswer, error) {
	rec, err := c.cellNamed(c.cfg.Machine.View(), id)
	if err != nil {
		return nil, err
	}
	if err := c.mark(ctx, fsm.MarkCell{Provider: rec.Provider, Cell: id, Production: r.Production}, o); err != nil {
		return nil, err
	}
	v := c.cfg.Machine.View()
	if rec, err = c.cellNamed(v, id); err != nil {
		return nil, err
	}
	return &api.CellAnswer{Index: v.Index(), Cell: c.show(v, rec)}, nil
}

func (c *Control) mark(ctx context.Context, cmd fsm.MarkCell, o api.WriteOptions) error {
	var err error
	cmd.Idem, err = idem(actor(ctx), o, "mark", map[string]any{"provider": cmd.Provider, "cell": cmd.Cell, "production": cmd.Production})
	if err != nil || o.DryRun {
		return err
	}
	cmd.Actor, cmd.Reason = actor(ctx), o.Reason
	_, err = c.cfg.Decider.Submit(ctx, cmd)
	return err
}
