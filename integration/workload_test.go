package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/harness"
)

// The tenants of the workload; tight is at its quota all the time.
const (
	tenantDev   = "dev"
	tenantTight = "tight"
	quotaTight  = 12 // leases
)

// workload is concurrent clients that ask for leases and runs, and remember every answer.
type workload struct {
	t       *testing.T
	client  *client.Client
	data    *http.Client
	history *history
	module  api.Digest
	input   api.Digest
	text    []byte
}

func newWorkload(t *testing.T, c *harness.Cluster) *workload {
	t.Helper()
	cl, err := c.Client(t.Context(), 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})
	data, err := c.DataPlane()
	if err != nil {
		t.Fatal(err)
	}
	w := &workload{t: t, client: cl, data: data, history: newHistory(), text: []byte("what goes in must come out\n")}
	if _, err := cl.CreateTenant(t.Context(), tenantTight, api.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	quota := api.NoQuota()
	quota.Mem, quota.Leases = 24<<20, quotaTight
	if _, err := cl.SetQuota(t.Context(), tenantTight, quota, api.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(guest(t, "echo"))
	if err != nil {
		t.Fatal(err)
	}
	w.module, w.input = w.put(module), w.put(w.text)
	return w
}

func (w *workload) put(b []byte) api.Digest {
	w.t.Helper()
	d := api.DigestOf(sha256.Sum256(b))
	if err := w.client.PutBlob(w.t.Context(), d, int64(len(b)), bytes.NewReader(b)); err != nil {
		w.t.Fatal(err)
	}
	return d
}

// lease asks for one random set of leases, uses it, and frees it or lets it expire.
func (w *workload) lease(ctx context.Context, tenant api.TenantID) {
	r := api.LeaseRequest{
		Provider: "local", Tenant: tenant, TTLMs: 1000 + mrand.Int64N(4000),
		Resources: api.Resources{Mem: (1 + mrand.Int64N(4)) << 20},
	}
	if mrand.IntN(2) == 0 {
		r.Resources.Block = 64 << 10
	}
	if mrand.IntN(3) == 0 {
		r.Resources.CPU = 10
	}
	o := api.WriteOptions{IdempotencyKey: rand.Text()}
	set, err := w.client.RequestLeases(ctx, r, o)
	if err != nil {
		w.refusal(ctx, "request leases", err)
		return
	}
	w.history.granted(o.IdempotencyKey, set)
	w.use(ctx, set)
	if mrand.IntN(4) == 0 {
		// A client that did not hear the answer asks again.
		again, err := w.client.RequestLeases(ctx, r, o)
		if err == nil {
			w.history.granted(o.IdempotencyKey, again)
		} else if kind := api.KindOf(err); ctx.Err() == nil && kind != api.BindTimeout && kind != api.OutcomeUnknown {
			w.history.fault("repeat under the same key: %v", err)
		}
	}
	if mrand.IntN(3) == 0 {
		return // it expires by itself
	}
	for _, l := range set.Leases {
		if _, err := w.client.FreeLease(ctx, l.ID, api.WriteOptions{}); err != nil {
			w.refusal(ctx, "free lease", err)
		}
	}
}

// use writes the lease's own id into it and reads it back: two holders of one resource
// would meet there (L4).
func (w *workload) use(ctx context.Context, set *api.GrantSet) {
	for _, g := range set.Leases {
		if g.Kind != api.KindMem && g.Kind != api.KindBlock {
			continue
		}
		mark := bytes.Repeat([]byte(string(g.ID)+"\n"), 20)
		if err := harness.Write(ctx, w.data, g, mark); err != nil {
			continue // the lease or its cell may be gone: that is what the rounds do
		}
		got, err := harness.Read(ctx, w.data, g, len(mark))
		if err == nil && !bytes.Equal(got, mark) {
			w.history.fault("L4: lease %s holds another's bytes: %.60q", g.ID, got)
		}
	}
}

// refusal sorts an error: a typed refusal is an answer, everything else a fault.
func (w *workload) refusal(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	answers := []api.Kind{api.QuotaExceeded, api.NoEligibleProviderCells, api.RuntimeNotReady, api.PlacementFailed, api.BindTimeout}
	kind := api.KindOf(err)
	if !slices.Contains(answers, kind) {
		w.history.fault("%s: %v", what, err)
		return
	}
	w.history.refused(kind)
	// A refused client comes back later, as one should.
	if err := harness.Pause(ctx, 100*time.Millisecond); err != nil {
		return
	}
}

// run starts one run and follows it to its result.
func (w *workload) run(ctx context.Context) {
	a, err := w.client.StartRun(ctx, api.RunRequest{
		Provider: "local", Tenant: tenantDev, Module: w.module, Input: w.input, Retries: 2,
		Resources: api.Resources{CPU: 500, Mem: 16 << 20}, TTLMs: 60_000,
	}, api.WriteOptions{IdempotencyKey: rand.Text()})
	if err != nil {
		w.refusal(ctx, "start run", err)
		return
	}
	for !a.State.Terminal() {
		next, err := w.client.ShowRun(ctx, a.ID, api.ReadOptions{AfterIndex: a.Index, Wait: 5 * time.Second})
		if err != nil {
			w.refusal(ctx, "show run", err)
			return
		}
		a = next
	}
	w.history.finished(a.Run)
	if a.State == api.RunSucceeded && a.Output != string(w.text) {
		w.history.fault("run %s succeeded with output %q", a.ID, a.Output)
	}
}

// start runs the clients; stop lets each finish what it does and returns when all have. A
// client that was cut off would not know what it was granted.
func (w *workload) start(ctx context.Context) (stop func()) {
	const lessors, runners = 8, 2
	var wg sync.WaitGroup
	stopping := make(chan struct{})
	loop := func(do func()) {
		for {
			select {
			case <-stopping:
				return
			default:
				do()
			}
		}
	}
	for i := range lessors {
		tenant := api.TenantID(tenantDev)
		if i%4 == 3 {
			tenant = tenantTight
		}
		wg.Go(func() { loop(func() { w.lease(ctx, tenant) }) })
	}
	for range runners {
		wg.Go(func() { loop(func() { w.run(ctx) }) })
	}
	return sync.OnceFunc(func() {
		close(stopping)
		wg.Wait()
	})
}
