package chaos

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/harness"
)

// lessor asks for leases, uses them, renews them, and ends them or lets them expire.
type lessor struct {
	*load
	id     int
	quota  bool // acts for a tenant with a quota
	client *client.Client
}

// lease is the life of one request.
func (l *lessor) lease(ctx context.Context) {
	tenant := api.TenantID(tenantFree)
	if l.quota {
		tenant = l.limited()
	}
	r := api.LeaseRequest{
		Provider: fleet.Provider, Tenant: tenant, TTLMs: 2000 + rand.Int64N(3000),
		Resources: api.Resources{Mem: (1 + rand.Int64N(3)) << 20},
	}
	if rand.IntN(3) == 0 {
		r.Resources.Block = 64 << 10
	}
	asked := time.Now()
	set, err := l.once(ctx, r)
	if err != nil {
		l.refused(ctx, "request leases", err, api.QuotaExceeded, api.NoEligibleProviderCells, api.RuntimeNotReady, api.PlacementFailed, api.BindTimeout)
		return
	}
	for _, g := range set.Leases {
		l.seen(g.ID)
		l.live(ctx, g, holding{id: g.ID, tenant: tenant, asked: asked, ttl: time.Duration(r.TTLMs) * time.Millisecond})
	}
}

// once makes one request and notes what it was granted.
func (l *lessor) once(ctx context.Context, r api.LeaseRequest) (*api.GrantSet, error) {
	o, call := api.WriteOptions{IdempotencyKey: crand.Text()}, l.record.Begin(l.id)
	set, err := pursue(ctx, l.load, "request leases", func(ctx context.Context) (*api.GrantSet, error) {
		return l.client.RequestLeases(ctx, r, o)
	})
	if err != nil {
		return nil, err
	}
	l.book.granted(o.IdempotencyKey, set)
	for _, g := range set.Leases {
		call.Granted(g.Lease)
	}
	if r.Tenant != tenantFree {
		call.Took(r.Tenant, quotaLeases, len(set.Leases))
	}
	return set, nil
}

// live uses one lease and ends it.
func (l *lessor) live(ctx context.Context, g api.Grant, h holding) {
	defer func() {
		if l.quota {
			l.book.hold(h)
		}
	}()
	if rand.IntN(4) == 0 {
		l.use(ctx, g)
	}
	_ = harness.Pause(ctx, rand.N(100*time.Millisecond)) // its end shows below
	if rand.IntN(3) == 0 {
		l.renew(ctx, g)
	}
	if rand.IntN(4) == 0 {
		return // it expires by itself
	}
	h.freed = time.Now()
	call := l.record.Begin(l.id)
	o, revoke := api.WriteOptions{IdempotencyKey: crand.Text()}, rand.IntN(3) == 0
	a, err := pursue(ctx, l.load, "end lease", func(ctx context.Context) (*api.LeaseAnswer, error) {
		if revoke {
			return l.client.RevokeLease(ctx, g.ID, api.RevokeRequest{}, o)
		}
		return l.client.FreeLease(ctx, g.ID, o)
	})
	if err != nil {
		call.MaybeEnded(g.ID)
		l.refused(ctx, "end lease", err)
		return
	}
	call.Ended(a.Lease.Lease)
}

func (l *lessor) renew(ctx context.Context, g api.Grant) {
	call := l.record.Begin(l.id)
	o := api.WriteOptions{IdempotencyKey: crand.Text()}
	a, err := pursue(ctx, l.load, "renew lease", func(ctx context.Context) (*api.LeaseAnswer, error) {
		return l.client.RenewLease(ctx, g.ID, api.RenewRequest{TTLMs: 2000}, o)
	})
	if err != nil {
		// One that ended before its cell had applied the renewal is refused, and was renewed.
		call.MaybeRenewed(g.ID)
		l.refused(ctx, "renew lease", err, api.LeaseExpiredKind, api.LeaseRevoked)
		return
	}
	call.Renewed(a.Lease.Lease)
}

// use writes the lease's own id into it and reads it back: two holders of one resource
// would meet there (L4).
func (l *lessor) use(ctx context.Context, g api.Grant) {
	mark := bytes.Repeat([]byte(string(g.ID)+"\n"), 20)
	if err := harness.Write(ctx, l.data, g, mark); err != nil {
		return // the lease or its cell may be gone: that is what the faults do
	}
	got, err := harness.Read(ctx, l.data, g, len(mark))
	if err == nil && !bytes.Equal(got, mark) {
		l.book.fault("L4: lease %s holds another's bytes: %.60q", g.ID, got)
	}
}

// refused sorts a definite answer that is no success: one of those expected is an answer,
// everything else a fault.
func (l *load) refused(ctx context.Context, what string, err error, expected ...api.Kind) {
	if ctx.Err() != nil {
		return
	}
	if !slices.Contains(expected, api.KindOf(err)) {
		l.book.fault("%s: %v", what, err)
	}
	_ = harness.Pause(ctx, 50*time.Millisecond+rand.N(100*time.Millisecond)) // a refused client comes back later, as one should
}

// ambiguous are the kinds after which a call is repeated with the same key.
func ambiguous(k api.Kind) bool {
	return k == api.OutcomeUnknown || k == api.NoLeader || k == api.Overloaded
}

// pursue repeats a call with the same idempotency key until its answer is definite. Every
// error is counted, and a call that does not end by itself is a fault.
func pursue[T any](ctx context.Context, l *load, what string, call func(context.Context) (*T, error)) (*T, error) {
	const slack = 3 * time.Second // of a machine that is busy
	began := time.Now()
	for {
		try := time.Now()
		answer, err := call(ctx)
		if took := time.Since(try); took > callTime+2*api.BindBound+slack {
			l.book.fault("%s: one call took %s", what, took.Round(time.Millisecond))
		}
		if err == nil || ctx.Err() != nil {
			return answer, err
		}
		if api.KindOf(err) != api.QuotaExceeded { // which is what these tenants are for
			l.book.failed(api.KindOf(err))
		}
		if !ambiguous(api.KindOf(err)) || time.Since(began) > patience {
			return nil, err
		}
		if err := harness.Pause(ctx, 20*time.Millisecond+rand.N(80*time.Millisecond)); err != nil {
			return nil, err
		}
	}
}
