package integration

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/harness"
)

// fakeCell is a cell that does only what a test has it do, through the doors that a real
// agent uses.
type fakeCell struct {
	*client.Client
	provider api.ProviderID
	id       api.CellID
	folder   string
	agent    string
	epoch    uint64
	binds    atomic.Bool // it does as it is told, while it lives

	mu    sync.Mutex
	heart api.Heartbeat // guarded by mu
}

// newFakeCell has the command line issue the certificate; the agent is another one each time.
func newFakeCell(t *testing.T, d *door, provider, id string) *fakeCell {
	t.Helper()
	folder := d.issue(t, "--role", "cell", "--provider", provider, "--cell-id", id)
	return newAgent(t, d, provider, id, folder)
}

// newAgent is another agent under a certificate that was issued already.
func newAgent(t *testing.T, d *door, provider, id, folder string) *fakeCell {
	t.Helper()
	c, err := d.ClientAs(folder, 10*time.Second, d.urls...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fakeCell{Client: c, provider: api.ProviderID(provider), id: api.CellID(id), folder: folder, agent: "a-" + rand.Text()[:10]}
	f.heart.Stamp = api.Stamp{BootID: "boot-" + id, BootTime: 1}
	return f
}

func (f *fakeCell) request() api.RegisterRequest {
	return api.RegisterRequest{
		Provider: f.provider, CellID: f.id, Agent: f.agent, BrokerKey: fmt.Sprintf("%064x", 7),
		DataURL: "https://127.0.0.1:1", Version: "test",
	}
}

func (f *fakeCell) register(t *testing.T) {
	t.Helper()
	a, err := f.Register(t.Context(), f.request())
	if err != nil {
		t.Fatal(err)
	}
	f.epoch = a.Epoch
}

// report says something with a heartbeat.
func (f *fakeCell) report(ctx context.Context, r api.Report) error {
	f.mu.Lock()
	f.heart.Seq++
	f.heart.Stamp.BootTime += int64(100 * time.Millisecond)
	heart := f.heart
	f.mu.Unlock()
	r.Epoch, r.Heartbeat = f.epoch, &heart
	_, err := f.Report(ctx, f.provider, f.id, r)
	return err
}

// live holds a session open and sends heartbeats, until the function returned is called.
func (f *fakeCell) live(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			for want, err := range f.Watch(ctx, f.provider, f.id, api.WatchRequest{Epoch: f.epoch}) {
				if err != nil {
					break
				}
				f.obey(ctx, want)
			}
			_ = harness.Pause(ctx, 20*time.Millisecond) // its end ends the loop
		}
	})
	wg.Go(func() {
		for harness.Pause(ctx, 100*time.Millisecond) == nil {
			_ = f.report(ctx, api.Report{}) // a heartbeat that is lost is followed by the next
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// obey says of every lease that it is bound, or that it is gone, as the schedulers want it.
func (f *fakeCell) obey(ctx context.Context, want api.Desired) {
	var r api.Report
	for _, l := range want.Leases {
		if l.State.Usable() {
			r.Bound = append(r.Bound, api.BoundReport{LeaseID: l.ID, Generation: l.Generation, Epoch: l.Epoch, Coordinate: "https://127.0.0.1:1/v1/leases/" + string(l.ID), Token: "of-the-fake"})
		} else {
			r.Ended = append(r.Ended, api.EndedReport{LeaseID: l.ID, Epoch: l.Epoch, State: api.LeaseTornDown})
		}
	}
	if f.binds.Load() && len(want.Leases) > 0 {
		_ = f.report(ctx, r) // one that is lost shows in the test
	}
}

// testCells is about what the schedulers take from cells.
func (d *door) testCells(t *testing.T) {
	defer d.sound(t)
	c := newFakeCell(t, d, "azure", "azure-1")
	d.must(t, "provider", "enable", "azure")
	defer d.must(t, "provider", "disable", "azure")
	kind := func(t *testing.T, err error, want api.Kind) {
		t.Helper()
		if got := api.KindOf(err); got != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	register := func(t *testing.T, change func(*api.RegisterRequest), want api.Kind) {
		t.Helper()
		r := c.request()
		change(&r)
		_, err := c.Register(t.Context(), r)
		kind(t, err, want)
	}
	t.Run("registers itself only", func(t *testing.T) {
		register(t, func(r *api.RegisterRequest) { r.CellID = "azure-2" }, api.IdentityMismatch)
		register(t, func(r *api.RegisterRequest) { r.CellID = "local-1" }, api.IdentityMismatch)
		register(t, func(r *api.RegisterRequest) { r.Provider = "local" }, api.IdentityMismatch)
		register(t, func(r *api.RegisterRequest) { r.Agent = "" }, api.InvalidArgument)
		for _, role := range []string{"tenant", "viewer"} {
			d.refuseHTTP(t, api.Forbidden, "role cell", call{who: d.issue(t, "--role", role, "--name", "acme"), path: "/api/v1/cells/register", body: `{"provider":"azure","cell_id":"azure-1","agent":"a","broker_key":"00","data_url":"https://127.0.0.1:1","version":"1"}`})
		}
	})
	t.Run("id of another provider's cell", func(t *testing.T) {
		thief := newFakeCell(t, d, "azure", "local-1")
		_, err := thief.Register(t.Context(), thief.request())
		kind(t, err, api.IdentityMismatch)
	})
	t.Run("not registered yet", func(t *testing.T) { kind(t, c.report(t.Context(), api.Report{}), api.NotFound) })
	c.register(t)
	d.fake = c
	t.Run("speaks for itself only", func(t *testing.T) {
		_, err := c.Report(t.Context(), "local", "local-1", api.Report{Epoch: 1})
		kind(t, err, api.IdentityMismatch)
		for _, err := range c.Watch(t.Context(), "local", "local-1", api.WatchRequest{Epoch: 1}) {
			kind(t, err, api.IdentityMismatch)
			break
		}
	})
	t.Run("another epoch", func(t *testing.T) {
		_, err := c.Report(t.Context(), c.provider, c.id, api.Report{Epoch: c.epoch + 5})
		kind(t, err, api.StaleEpoch)
	})
	t.Run("second agent", func(t *testing.T) {
		second := newAgent(t, d, "azure", "azure-1", c.folder)
		second.register(t)
		if second.epoch <= c.epoch {
			t.Errorf("epoch is %d after %d", second.epoch, c.epoch)
		}
		kind(t, c.report(t.Context(), api.Report{}), api.StaleEpoch)
		c.epoch, c.agent = second.epoch, second.agent
	})
	t.Run("another key", func(t *testing.T) {
		// The cluster's own material made it, and the cell is bound to its key all the same.
		d.must(t, "admin", "issue-cert", "--out", filepath.Join(d.scratch, "other-key"), "--role", "cell", "--provider", "azure", "--cell-id", "azure-1")
		thief := newAgent(t, d, "azure", "azure-1", filepath.Join(d.scratch, "other-key"))
		_, err := thief.Register(t.Context(), thief.request())
		kind(t, err, api.IdentityMismatch)
		thief.epoch = c.epoch
		kind(t, thief.report(t.Context(), api.Report{}), api.IdentityMismatch)
	})
	t.Run("impossible inventory", func(t *testing.T) {
		for _, inv := range []api.InventoryReport{
			{Capacity: api.Resources{CPU: -1}}, {Capacity: api.Resources{Mem: 1<<63 - 1}}, {Inventory: api.Inventory{TotalMem: -1}},
		} {
			kind(t, c.report(t.Context(), api.Report{Inventory: &inv}), api.InvalidArgument)
		}
		many := make([]api.EndedReport, api.MaxReportItems+1)
		kind(t, c.report(t.Context(), api.Report{Ended: many}), api.TooLarge)
	})
	t.Run("what it does not hold", func(t *testing.T) {
		var set api.GrantSet
		d.into(t, &set, "lease", "request", "--provider", "local", "--tenant", "acme", "--mem", "64K", "--ttl", "5m")
		g := set.Leases[0]
		a, err := c.Report(t.Context(), c.provider, c.id, api.Report{
			Epoch: c.epoch, Ended: []api.EndedReport{{LeaseID: g.ID, Epoch: g.Epoch, State: api.LeaseTornDown}, {LeaseID: "l-nosuch", State: api.LeaseTornDown}},
			Bound: []api.BoundReport{{LeaseID: g.ID, Generation: 9, Epoch: g.Epoch, Coordinate: "https://evil.example"}},
			Runs:  []api.RunReport{{RunID: "r-nosuch", Attempt: 1, State: api.RunSucceeded}},
		})
		if err != nil || len(a.Refused) != 4 {
			t.Errorf("%v: refused are %+v", err, a)
		}
		if l := showLease(t, d, g.ID); l.State != api.LeaseActive || l.Coordinate != g.Coordinate {
			t.Errorf("a cell changed another cell's lease: %+v", l)
		}
		freeAll(t, d, "acme")
	})
	t.Run("does not bind", d.testBindTimeout)
}

// testBindTimeout grants a lease on a cell that never binds it: the caller hears of it, and
// the amount is given again.
func (d *door) testBindTimeout(t *testing.T) {
	c := d.fake
	inv := api.InventoryReport{Inventory: api.Inventory{TotalCPU: 1, TotalMem: 1 << 30}, Capacity: api.Resources{CPU: 1000, Mem: 1 << 30}}
	if err := c.report(t.Context(), api.Report{Inventory: &inv}); err != nil {
		t.Fatal(err)
	}
	stop := c.live(t)
	defer stop()
	eventually(t, 10*time.Second, func() string {
		if cell := cellOf(t, d, "azure", "azure-1"); !cell.Ready {
			return fmt.Sprintf("azure-1: %+v", cell.Reasons)
		}
		return ""
	})
	// A short one first, of which the cell never says anything, not even its end.
	said := d.exec(t, nil, "lease", "request", "--provider", "azure", "--tenant", "acme", "--mem", "2M", "--ttl", "1s", "--timeout", "9s", "--json")
	if said.Code != 8 {
		t.Errorf("exit %d: %s", said.Code, said.Stderr)
	}
	checkProblem(t, said.Stderr, api.BindTimeout, "azure-1")
	silent := onlyLease(t, d, "azure-1")
	said = d.exec(t, nil, "lease", "request", "--provider", "azure", "--tenant", "acme", "--mem", "1M", "--timeout", "9s", "--json")
	if said.Code != 8 {
		t.Errorf("exit %d: %s", said.Code, said.Stderr)
	}
	p := checkProblem(t, said.Stderr, api.BindTimeout, "azure-1")
	if !p.Retryable {
		t.Errorf("%+v", p)
	}
	var list api.LeaseList
	d.into(t, &list, "lease", "list", "--all", "--cell", "azure-1")
	var gone []api.EndedReport
	for _, l := range list.Leases {
		if l.ID == silent {
			continue
		}
		if l.State.Usable() || l.Reason != "bind_timeout" {
			t.Errorf("lease %s is %s (%s)", l.ID, l.State, l.Reason)
		}
		gone = append(gone, api.EndedReport{LeaseID: l.ID, Epoch: l.Epoch, State: api.LeaseTornDown})
	}
	if len(gone) == 0 {
		t.Error("there is no record of the lease")
	}
	if err := c.report(t.Context(), api.Report{Ended: gone}); err != nil {
		t.Error(err)
	}
	// Its hold-down is 1 s of ttl, 10 s of delivery, 1 s of teardown.
	eventually(t, 20*time.Second, func() string {
		cell := cellOf(t, d, "azure", "azure-1")
		l := showLease(t, d, silent)
		if l.State != api.LeaseFailedClosed && cell.Free.Mem == inv.Capacity.Mem {
			t.Fatalf("what is %s is given again already", l.State)
		}
		if l.State != api.LeaseFailedClosed || cell.Free.Mem != inv.Capacity.Mem {
			return fmt.Sprintf("a lease that its cell is silent about is %s, %d bytes are free", l.State, cell.Free.Mem)
		}
		return ""
	})
	// All of it is given again, once the cell answers.
	c.binds.Store(true)
	var whole api.GrantSet
	d.into(t, &whole, "lease", "request", "--provider", "azure", "--tenant", "acme", "--mem", fmt.Sprint(inv.Capacity.Mem), "--cpu", fmt.Sprint(inv.Capacity.CPU), "--timeout", "20s")
	for _, g := range whole.Leases {
		if g.State != api.LeaseActive || g.CellID != "azure-1" {
			t.Errorf("of the whole capacity: %+v", g.Lease)
		}
	}
	if len(whole.Leases) != 2 {
		t.Errorf("the whole capacity is %d leases", len(whole.Leases))
	}
	freeAll(t, d, "acme")
}

// onlyLease returns the id of the only lease that there ever was on a cell.
func onlyLease(t *testing.T, d *door, cell string) api.LeaseID {
	t.Helper()
	var list api.LeaseList
	d.into(t, &list, "lease", "list", "--all", "--cell", cell)
	if len(list.Leases) != 1 {
		t.Fatalf("%d leases on %s", len(list.Leases), cell)
	}
	return list.Leases[0].ID
}
