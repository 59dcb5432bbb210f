package control

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// Plan says what would be decided now, with every veto and score. A refusal is in the plan.
func (c *Control) Plan(ctx context.Context, r api.PlanRequest, _ api.ReadOptions) (*api.Plan, error) {
	check := api.LeaseRequest{Provider: r.Provider, Resources: r.Resources, TTLMs: r.TTLMs, Priority: r.Priority, Terms: r.Terms}
	if err := check.Check(); err != nil {
		return nil, err
	}
	if r.Module != "" {
		if err := api.CheckRunMem(r.Resources.Mem); err != nil {
			return nil, err
		}
	}
	tenant, err := planFor(ctx, r.Tenant)
	if err != nil {
		return nil, err
	}
	if err := mayReach(ctx, r.Terms); err != nil {
		return nil, err
	}
	plan, err := c.cfg.Decider.Plan(planRequest(r.Provider, tenant, r.Resources, r.Priority, r.Terms))
	if err != nil {
		return nil, err
	}
	if plan.Refusal != nil && plan.Refusal.Kind == api.NotFound {
		return nil, plan.Refusal
	}
	if plan.Candidates == nil {
		plan.Candidates = []api.Candidate{}
	}
	return &plan, nil
}

// StartRun admits a run and places it; it answers when the record is committed.
func (c *Control) StartRun(ctx context.Context, r api.RunRequest, o api.WriteOptions) (*api.RunAnswer, error) {
	if r.Terms.Empty() {
		r.Terms = nil // the same request, and the same key's answer
	}
	if err := r.CheckNew(); err != nil {
		return nil, err
	}
	tenant, err := actFor(ctx, r.Tenant)
	if err != nil {
		return nil, err
	}
	if err := mayReach(ctx, r.Terms); err != nil {
		return nil, err
	}
	if err := reserved(tenant); err != nil {
		return nil, err
	}
	r.Tenant, r.Priority = tenant, priority(r.Priority)
	if r.Profile == "" {
		r.Profile = api.ProfileWASI
	}
	if r.Profile != api.ProfileWASI {
		return nil, api.Refuse(api.InvalidArgument, "profile %s is not offered by this version: use wasi", r.Profile)
	}
	if o.DryRun {
		return c.dryRun(r) // which uploads nothing, so that its blobs need not be here
	}
	if r.Fuel > 0 {
		return nil, api.Refuse(api.InvalidArgument, "fuel %d cannot be metered for profile %s in this version", r.Fuel, r.Profile).
			WithHint("leave it out, or give --fuel unlimited: the run's TTL bounds it")
	}
	if err := c.hasBlobs(ctx, r); err != nil {
		return nil, err
	}
	id, err := idem(tenantScope(tenant), o, "start_run", r)
	if err != nil {
		return nil, err
	}
	run := api.Run{
		Tenant: tenant, Provider: r.Provider, Retries: r.Retries, Tasklet: r.Tasklet, Profile: r.Profile,
		Module: r.Module, Input: r.Input, Invocation: r.Invocation, Fuel: r.Fuel,
		Resources: r.Resources, TTLMs: r.TTLMs, Priority: r.Priority, Terms: r.Terms,
	}
	res, err := c.cfg.Decider.Admit(ctx, fsm.GrantLeases{
		Actor: actor(ctx), Idem: id, Tenant: tenant, Provider: r.Provider, Priority: run.Priority,
		TTLMs: r.TTLMs, Items: items(r.Resources, api.UseLinear), Run: &run, Terms: r.Terms,
	})
	if err != nil {
		return nil, c.sure(ctx, err)
	}
	a, err := c.answerRun(ctx, c.cfg.Machine.View(), res.Run)
	if res.Replayed && api.KindOf(err) == api.NotFound {
		return nil, forgotten("run", string(res.Run), res)
	}
	return a, err
}

// hasBlobs refuses a run of what its tenant never put: a digest alone gives no right to
// another tenant's bytes.
func (c *Control) hasBlobs(ctx context.Context, r api.RunRequest) error {
	v := c.cfg.Machine.View()
	for what, d := range map[string]api.Digest{"module": r.Module, "input": r.Input, "invocation": r.Invocation} {
		if d == "" || v.BlobRef(r.Tenant, d) || sees(ctx, "") && v.BlobRef(operatorSpace, d) {
			continue
		}
		return api.Refuse(api.NotFound, "the %s %s was never put by tenant %s", what, d, r.Tenant).
			WithHint("put it first: PUT /api/v1/blobs/%s", d)
	}
	return nil
}

func (c *Control) dryRun(r api.RunRequest) (*api.RunAnswer, error) {
	plan, err := c.cfg.Decider.Plan(planRequest(r.Provider, r.Tenant, r.Resources, r.Priority, r.Terms))
	if err != nil {
		return nil, err
	}
	if plan.Refusal != nil {
		return nil, plan.Refusal
	}
	return &api.RunAnswer{Index: plan.Index, Leases: []api.Lease{}, Run: api.Run{
		Tenant: r.Tenant, Provider: r.Provider, CellID: plan.CellID, State: api.RunAdmitted, Tasklet: r.Tasklet,
		Profile: r.Profile, Module: r.Module, Resources: r.Resources, TTLMs: r.TTLMs, Priority: priority(r.Priority),
		Artifacts: []api.Artifact{}, LeaseIDs: []api.LeaseID{},
	}}, nil
}

// ListRuns lists runs.
func (c *Control) ListRuns(ctx context.Context, f api.RunFilter, o api.ReadOptions) (*api.RunList, error) {
	tenant, err := narrow(ctx, f.Tenant)
	if err != nil {
		return nil, err
	}
	f.Tenant = tenant
	if err := fsm.CheckRunPage(f); err != nil {
		return nil, err
	}
	v, err := c.view(ctx, o, c.runsOf(f))
	if err != nil {
		return nil, err
	}
	runs, next := v.ListRuns(f)
	if runs == nil {
		runs = []api.Run{}
	}
	return &api.RunList{Index: v.Index(), Runs: runs, NextPage: next, Freshness: v.fresh}, nil
}

// ShowRun shows one run with its leases, and its output when that is text and small.
func (c *Control) ShowRun(ctx context.Context, id api.RunID, o api.ReadOptions) (*api.RunAnswer, error) {
	v, err := c.view(ctx, o, c.runOf(ctx, id))
	if err != nil {
		return nil, err
	}
	a, err := c.answerRun(ctx, v.View, id)
	if err != nil {
		return nil, err
	}
	a.Freshness = v.fresh
	return a, nil
}

func (c *Control) answerRun(ctx context.Context, v *fsm.View, id api.RunID) (*api.RunAnswer, error) {
	r, err := ownRun(ctx, v, id)
	if err != nil {
		return nil, err
	}
	a := &api.RunAnswer{Index: v.Index(), Run: r, Leases: v.LeasesOfRun(id)}
	if a.Artifacts == nil {
		a.Artifacts = []api.Artifact{}
	}
	if a.Leases == nil {
		a.Leases = []api.Lease{}
	}
	if r.State.Terminal() {
		a.Output = c.smallText(ctx, r)
	}
	return a, nil
}

func ownRun(ctx context.Context, v *fsm.View, id api.RunID) (api.Run, error) {
	r, ok := v.Run(id)
	if !ok || !sees(ctx, r.Tenant) {
		return api.Run{}, api.Refuse(api.NotFound, "run %s does not exist", id).
			WithHint("see yours: grafos run list; ended runs stay readable for two hours").AtIndex(v.Index())
	}
	return r, nil
}

// smallText returns the output of a run when it is text of at most MaxInlineOutput bytes.
func (c *Control) smallText(ctx context.Context, r api.Run) string {
	for _, a := range r.Artifacts {
		if a.Name != api.ArtifactOutput || a.Size > int64(base64.StdEncoding.EncodedLen(api.MaxInlineOutput)) {
			continue
		}
		body, _, err := c.cfg.Blobs.Get(ctx, a.Digest)
		if err != nil {
			c.log.Debug("read output", "run_id", string(r.ID), "error", err)
			return ""
		}
		b, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, io.LimitReader(body, a.Size)))
		closeErr := body.Close()
		if err != nil || closeErr != nil || !utf8.Valid(b) {
			return ""
		}
		return string(b)
	}
	return ""
}

// RunArtifact opens one artifact of a run.
func (c *Control) RunArtifact(ctx context.Context, id api.RunID, name string) (io.ReadCloser, api.Artifact, error) {
	v, err := c.cfg.Cluster.Read(ctx)
	if err != nil {
		return nil, api.Artifact{}, err
	}
	r, err := ownRun(ctx, v, id)
	if err != nil {
		return nil, api.Artifact{}, err
	}
	for _, a := range r.Artifacts {
		if a.Name != name {
			continue
		}
		body, _, err := c.cfg.Blobs.Get(ctx, a.Digest)
		if err != nil {
			return nil, api.Artifact{}, fmt.Errorf("open artifact: %w", err)
		}
		return body, a, nil
	}
	return nil, api.Artifact{}, api.Refuse(api.NotFound, "run %s has no artifact %q", id, name).
		WithHint("see what it has: grafos run show %s", id)
}
