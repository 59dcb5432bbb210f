package control

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/placement"
)

// RequestLeases grants one lease for every resource asked for, on one cell, all or none,
// and answers when the cell has bound them.
func (c *Control) RequestLeases(ctx context.Context, r api.LeaseRequest, o api.WriteOptions) (*api.GrantSet, error) {
	r, err := checked(ctx, r)
	if err != nil {
		return nil, err
	}
	if o.DryRun {
		return c.dryGrant(r)
	}
	res, err := c.admit(ctx, r, o)
	if err != nil {
		return nil, err
	}
	return c.granted(ctx, res, c.bindUntil())
}

// admit has a request decided and committed.
func (c *Control) admit(ctx context.Context, r api.LeaseRequest, o api.WriteOptions) (fsm.Result, error) {
	g, err := grantOf(r, actor(ctx), o)
	if err != nil {
		return fsm.Result{}, err
	}
	res, err := c.cfg.Decider.Admit(ctx, g)
	if err != nil {
		return res, c.sure(ctx, err)
	}
	return res, nil
}

// grantOf is the command of a request that was checked.
func grantOf(r api.LeaseRequest, actor string, o api.WriteOptions) (fsm.GrantLeases, error) {
	id, err := idem(tenantScope(r.Tenant), o, "request_leases", r)
	return fsm.GrantLeases{
		Actor: actor, Idem: id, Tenant: r.Tenant, Provider: r.Provider,
		Priority: r.Priority, TTLMs: r.TTLMs, Items: items(r.Resources, api.UseRegion), Holder: r.Holder, Terms: r.Terms,
	}, err
}

// checked refuses a request that can be refused without a look at the cluster, and returns it
// as it is decided: what it leaves out and what it says in so many words are the same request.
func checked(ctx context.Context, r api.LeaseRequest) (api.LeaseRequest, error) {
	if r.Terms.Empty() {
		r.Terms = nil
	}
	if err := r.Check(); err != nil {
		return r, err
	}
	if err := reachesNothing(r.Terms); err != nil {
		return r, err
	}
	tenant, err := actFor(ctx, r.Tenant)
	r.Tenant, r.Priority = tenant, priority(r.Priority)
	if err == nil {
		err = reserved(tenant)
	}
	return r, err
}

func priority(p api.Priority) api.Priority {
	if p == "" {
		return api.PriorityStandard
	}
	return p
}

// items are the leases of a request, in the order of the kinds; the leader names them.
func items(r api.Resources, mem api.Use) []fsm.GrantItem {
	var out []fsm.GrantItem
	for _, k := range api.LeaseKinds() {
		if n := r.Get(k); n > 0 {
			it := fsm.GrantItem{Kind: k, Amount: n}
			if k == api.KindMem {
				it.Use = mem
			}
			out = append(out, it)
		}
	}
	return out
}

// dryGrant says what would be decided, without leases.
func (c *Control) dryGrant(r api.LeaseRequest) (*api.GrantSet, error) {
	plan, err := c.cfg.Decider.Plan(planRequest(r.Provider, r.Tenant, r.Resources, r.Priority, r.Terms))
	if err != nil {
		return nil, err
	}
	if plan.Refusal != nil {
		return nil, plan.Refusal
	}
	return &api.GrantSet{Index: plan.Index, CellID: plan.CellID, Leases: []api.Grant{}}, nil
}

func planRequest(p api.ProviderID, t api.TenantID, r api.Resources, prio api.Priority, terms *api.Terms) placement.Request {
	plan := placement.Request{Provider: p, Tenant: t, Resources: r, Priority: priority(prio), Leases: len(items(r, ""))}
	if terms != nil && terms.GPU != nil {
		plan.GPUClass, plan.GPUShare = terms.GPU.Class, terms.GPU.ShareMilli
	}
	return plan
}

// bindUntil is until when a grant of now waits for its binding. The cell has its own bound; the
// margin lets its answer, or the bind timeout, be committed.
func (c *Control) bindUntil() time.Time { return c.cfg.Clock.Now().Add(api.BindBound + 3*time.Second) }

// granted waits for every lease of a decision to be bound and collects the tokens. A
// request whose leases are not all bound is undone: all or none.
func (c *Control) granted(ctx context.Context, res fsm.Result, until time.Time) (*api.GrantSet, error) {
	c.waitAll(ctx, res.Leases, 1, until)
	if set := c.ready(c.cfg.Machine.View(), res); set != nil {
		return set, nil
	}
	return c.collect(ctx, res)
}

// collect makes the answer to a decision that was waited for, whatever became of it.
func (c *Control) collect(ctx context.Context, res fsm.Result) (*api.GrantSet, error) {
	set := &api.GrantSet{Index: res.Index, Leases: make([]api.Grant, 0, len(res.Leases))}
	for _, id := range res.Leases {
		l, err := c.bound(ctx, id, 1)
		if err != nil {
			switch kind := api.KindOf(err); {
			case kind == api.BindTimeout:
				c.undo(ctx, res.Leases)
			case kind == api.NotFound && res.Replayed:
				return nil, forgotten("lease", string(id), res)
			}
			return nil, err
		}
		g, err := c.withToken(ctx, l)
		if err != nil {
			return nil, err
		}
		set.CellID = l.CellID
		set.Leases = append(set.Leases, g)
	}
	return set, nil
}

// ready is the answer to a decision whose leases are all bound, with their tokens here; nil is
// that there is more to do.
func (c *Control) ready(v *fsm.View, res fsm.Result) *api.GrantSet {
	set := &api.GrantSet{Index: res.Index, Leases: make([]api.Grant, len(res.Leases))}
	for i, id := range res.Leases {
		l, ok := v.Lease(id)
		if !ok || l.BoundGeneration == 0 || !l.State.Usable() {
			return nil
		}
		set.CellID, set.Leases[i].Lease = l.CellID, l
	}
	for i := range set.Leases {
		l := &set.Leases[i]
		if l.Token, _ = c.tokens.take(l.ID, l.BoundGeneration); l.Token == "" {
			for _, taken := range set.Leases[:i] {
				c.tokens.put(taken.ID, taken.BoundGeneration, taken.Token)
			}
			return nil
		}
	}
	return set
}

// forgotten answers a repetition of a request whose outcome was kept for less long than its
// key: it was done once, and is not done again.
func forgotten(what, id string, res fsm.Result) *api.Error {
	return api.Refuse(api.NotFound, "%s %s, which was granted under this idempotency key at index %d, has ended and is forgotten", what, id, res.Index).
		WithHint("use a new key for a new request")
}

// withToken adds the token to a bound lease. One that has ended meanwhile, as a short one
// can before its grant is asked for again, is answered as it is: it was granted.
func (c *Control) withToken(ctx context.Context, l api.Lease) (api.Grant, error) {
	if !l.State.Usable() {
		return api.Grant{Lease: l}, nil
	}
	t, err := c.token(ctx, l)
	if err == nil {
		return api.Grant{Lease: l, Token: t}, nil
	}
	switch api.KindOf(err) { //nolint:exhaustive // how a cell says that a lease is over
	case api.LeaseExpiredKind, api.LeaseRevoked, api.LeaseFencedKind:
		l = c.waitEnd(ctx, l) // its cell is the first to know
	default:
		if now, ok := c.cfg.Machine.View().Lease(l.ID); ok {
			l = now
		}
	}
	if !l.State.Usable() {
		return api.Grant{Lease: l}, nil
	}
	return api.Grant{}, err
}

// undoTime bounds the undoing of a grant, which goes on when its requester is gone.
const undoTime = 2 * time.Second

func (c *Control) undo(ctx context.Context, ids []api.LeaseID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	for _, id := range ids {
		if _, err := c.cfg.Decider.Submit(ctx, fsm.FreeLease{Actor: "scheduler", Lease: id, Reason: "bind_timeout"}); err != nil {
			c.log.Warn("undo grant", "lease_id", string(id), "error", err)
		}
	}
}

// ListLeases lists leases, newest state, by id.
func (c *Control) ListLeases(ctx context.Context, f api.LeaseFilter, o api.ReadOptions) (*api.LeaseList, error) {
	tenant, err := narrow(ctx, f.Tenant)
	if err != nil {
		return nil, err
	}
	f.Tenant = tenant
	if err := fsm.CheckLeasePage(f); err != nil {
		return nil, err
	}
	v, err := c.view(ctx, o, c.leasesOf(ctx, f))
	if err != nil {
		return nil, err
	}
	leases, next := v.ListLeases(f)
	if leases == nil {
		leases = []api.Lease{}
	}
	return &api.LeaseList{Index: v.Index(), Leases: leases, NextPage: next, Freshness: v.fresh}, nil
}

// ShowLease shows one lease.
func (c *Control) ShowLease(ctx context.Context, id api.LeaseID, o api.ReadOptions) (*api.LeaseAnswer, error) {
	v, err := c.view(ctx, o, c.leaseOf(ctx, id))
	if err != nil {
		return nil, err
	}
	l, err := own(ctx, v.View, id)
	if err != nil {
		return nil, err
	}
	return &api.LeaseAnswer{Index: v.Index(), Lease: api.Grant{Lease: l}, Freshness: v.fresh}, nil
}

// held returns a lease that the caller may change: its owner, or an operator.
func (c *Control) held(ctx context.Context, id api.LeaseID) (api.Lease, error) {
	l, err := own(ctx, c.cfg.Machine.View(), id)
	if err != nil {
		return l, c.sure(ctx, err)
	}
	_, err = actFor(ctx, l.Tenant)
	return l, err
}

// own returns a lease that the caller may see.
func own(ctx context.Context, v *fsm.View, id api.LeaseID) (api.Lease, error) {
	l, ok := v.Lease(id)
	if !ok || !sees(ctx, l.Tenant) {
		return api.Lease{}, api.Refuse(api.NotFound, "lease %s does not exist", id).
			WithHint("see yours: grafos lease list; ended leases stay readable for two hours").AtIndex(v.Index())
	}
	return l, nil
}

// RenewLease extends the deadline from now; it answers when the cell has applied it.
func (c *Control) RenewLease(ctx context.Context, id api.LeaseID, r api.RenewRequest, o api.WriteOptions) (*api.LeaseAnswer, error) {
	if err := api.CheckTTL(r.TTLMs); err != nil {
		return nil, err
	}
	l, err := c.held(ctx, id)
	if err != nil {
		return nil, err
	}
	key, err := idem(tenantScope(l.Tenant), o, "renew_lease", map[string]any{"lease": id, "request": r})
	if err != nil {
		return nil, err
	}
	if o.DryRun {
		return &api.LeaseAnswer{Index: c.cfg.Machine.View().Index(), Lease: api.Grant{Lease: l}}, nil
	}
	stamp, err := c.stamp(ctx, l, key)
	if err != nil {
		return nil, err
	}
	cmd := fsm.RenewLease{Actor: actor(ctx), Idem: key, Lease: id, TTLMs: r.TTLMs, Stamp: stamp}
	res, err := c.cfg.Decider.Submit(ctx, cmd)
	if err != nil {
		return nil, err
	}
	after, ok := c.cfg.Machine.View().Lease(id)
	if !ok {
		return nil, api.Refuse(api.NotFound, "lease %s does not exist any more", id)
	}
	return c.renewed(ctx, l, after, res)
}

func (c *Control) renewed(ctx context.Context, before, after api.Lease, res fsm.Result) (*api.LeaseAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, api.BindBound)
	defer cancel()
	until := c.cfg.Clock.Now().Add(api.BindBound)
	if c.missed(after) {
		until = c.cfg.Clock.Now() // one look
	}
	l, err := c.waitBound(ctx, after.ID, after.Generation, until)
	if l.ID != "" && !l.State.Usable() {
		return nil, ended(l)
	}
	if err != nil {
		if c.missed(l) {
			return nil, notRenewed(l)
		}
		if kind := api.KindOf(err); kind == api.OutcomeUnknown || kind == api.BindTimeout {
			return nil, api.Refuse(api.OutcomeUnknown,
				"the renewal of lease %s is committed, but cell %s has not applied it: the lease ends at %s, or at %s when the cell does",
				after.ID, after.CellID, before.ExpiresAt.Format(time.RFC3339), after.ExpiresAt.Format(time.RFC3339)).
				WithHint("repeat the request with the same idempotency key")
		}
		return nil, err
	}
	t, err := c.token(ctx, l)
	if err != nil {
		return nil, err
	}
	return &api.LeaseAnswer{Index: res.Index, Lease: api.Grant{Lease: l, Token: t}}, nil
}

// LeaseToken asks the cell for a fresh capability token.
func (c *Control) LeaseToken(ctx context.Context, id api.LeaseID, _ api.WriteOptions) (*api.LeaseAnswer, error) {
	v := c.cfg.Machine.View()
	l, err := c.held(ctx, id)
	if err != nil {
		return nil, err
	}
	if !l.State.Usable() {
		return nil, ended(l)
	}
	if l.BoundGeneration == 0 {
		return nil, api.Refuse(api.Conflict, "lease %s is not bound yet", id).WithHint("wait for bound_at: grafos lease show %s", id)
	}
	t, err := c.mint(ctx, l)
	if err != nil {
		return nil, err
	}
	return &api.LeaseAnswer{Index: v.Index(), Lease: api.Grant{Lease: l, Token: t}}, nil
}

// ended is why an ended lease cannot be used.
func ended(l api.Lease) *api.Error {
	kind := api.LeaseRevoked
	switch {
	case l.State == api.LeaseFenced:
		return api.RefuseFenced(&l, "its teardown failed")
	case l.State == api.LeaseExpired || l.Reason == "expired":
		kind = api.LeaseExpiredKind
	}
	return api.RefuseEnded(kind, "lease %s is %s (%s)", l.ID, l.State, l.Reason)
}

// FreeLease ends a lease on its holder's wish. It needs the id and the owner's identity only.
func (c *Control) FreeLease(ctx context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return c.endLease(ctx, id, o, "free_lease", id, func(key fsm.Idem) fsm.Command {
		return fsm.FreeLease{Actor: actor(ctx), Idem: key, Lease: id, Reason: "released"}
	})
}

// RevokeLease ends a lease against its holder's will, after grace.
func (c *Control) RevokeLease(ctx context.Context, id api.LeaseID, r api.RevokeRequest, o api.WriteOptions) (*api.LeaseAnswer, error) {
	if r.GraceMs < 0 || r.GraceMs > maxGrace {
		return nil, api.Refuse(api.InvalidArgument, "grace is %s: it must be from 0 to 24 h", api.FormatMs(r.GraceMs))
	}
	return c.endLease(ctx, id, o, "revoke_lease", map[string]any{"lease": id, "request": r}, func(key fsm.Idem) fsm.Command {
		return fsm.RevokeLease{Actor: actor(ctx), Idem: key, Lease: id, GraceMs: r.GraceMs, Reason: o.Reason}
	})
}

// UnfenceLease clears the fence of a lease whose teardown failed: its resource may be given again.
func (c *Control) UnfenceLease(ctx context.Context, id api.LeaseID, o api.WriteOptions) (*api.LeaseAnswer, error) {
	return c.endLease(ctx, id, o, "unfence_lease", id, func(key fsm.Idem) fsm.Command {
		return fsm.UnfenceLease{Actor: actor(ctx), Idem: key, Lease: id, Reason: o.Reason}
	})
}

// endLease submits the command of op; request is all that another request would differ in.
func (c *Control) endLease(
	ctx context.Context, id api.LeaseID, o api.WriteOptions, op string, request any, cmd func(fsm.Idem) fsm.Command,
) (*api.LeaseAnswer, error) {
	l, err := c.held(ctx, id)
	if err != nil {
		return nil, err
	}
	key, err := idem(tenantScope(l.Tenant), o, op, request)
	if err != nil {
		return nil, err
	}
	if o.DryRun {
		return &api.LeaseAnswer{Index: c.cfg.Machine.View().Index(), Lease: api.Grant{Lease: l}}, nil
	}
	if mutant.On(mutant.AckBeforeCommit) {
		go func() { _, _ = c.cfg.Decider.Submit(context.WithoutCancel(ctx), cmd(key)) }()
		l.State = api.LeaseForcedTeardown
		return &api.LeaseAnswer{Index: c.cfg.Machine.View().Index(), Lease: api.Grant{Lease: l}}, nil
	}
	res, err := c.cfg.Decider.Submit(ctx, cmd(key))
	if err != nil {
		return nil, err
	}
	after, ok := c.cfg.Machine.View().Lease(id)
	if !ok {
		return nil, api.Refuse(api.NotFound, "lease %s does not exist any more", id)
	}
	return &api.LeaseAnswer{Index: res.Index, Lease: api.Grant{Lease: after}}, nil
}
