package conformance

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker"
)

// flaw is one promise that a cell does not keep.
type flaw string

const (
	none        flaw = ""
	neverBinds  flaw = "never binds"
	dirty       flaw = "does not wipe"
	forgets     flaw = "loses what is written"
	longReads   flaw = "reads past the end"
	halfWrites  flaw = "does half of a write past the end"
	anyToken    flaw = "takes any token"
	anyLease    flaw = "takes another lease's token"
	oldTokens   flaw = "takes tokens of an older generation"
	noRenewal   flaw = "does not apply renewals"
	servesEnded flaw = "serves what was revoked"
	servesLate  flaw = "serves what expired"
	endsEarly   flaw = "ends before its time"
	fences      flaw = "cannot tear down"
	anyHolder   flaw = "wants no proof"
	anyProof    flaw = "takes any proof"
	replays     flaw = "takes a proof twice"
	ignoresCuts flaw = "ignores caveats"
	neverStops  flaw = "does not stop a run"
	noOutput    flaw = "loses the output of a run"
	excuses     flaw = "refuses as a scheduler does"
	keepsRoom   flaw = "cannot tear down, and has no room then"
	otherGPU    flaw = "names another gpu"
	oneGPU      flaw = "names one gpu for all"
	keepsGPU    flaw = "does not free a gpu"
	anywhere    flaw = "connects anywhere"
	loses       flaw = "loses what comes back"
	keepsFlows  flaw = "keeps connections"
	walled      flaw = "cannot connect to anybody" // which is none
	refuses     flaw = "refuses what is listed"
)

// cell is a cell and its schedulers in one: what they do of leases, with a broker of its own.
type cell struct {
	flaw   flaw
	broker *capbroker.Broker
	unfit  error
	// stuck is why it takes no leases of block.
	stuck error
	// unasked is why a scheduler asks the cell no more.
	unasked error
	// capacity bounds what is leased at a time, where it is not nothing.
	capacity api.Resources

	mu     sync.Mutex
	leases map[api.LeaseID]*leased
	spare  map[api.LeaseKind][]byte // bytes of a lease that ended
	freed  int
	proofs map[string]bool
	last   *capbroker.Verified
	bound  map[int]bool // gpus that were ever bound, of a cell that does not free them
	kept   []net.Conn   // of a cell that does not close them
}

// device is the first gpu that no lease has.
func (c *cell) device() (int, bool) {
	for i := range cmp.Or(c.capacity.GPU, 2) {
		if !slices.ContainsFunc(slices.Collect(maps.Values(c.leases)), func(l *leased) bool {
			return l.Kind == api.KindGPU && !l.State.Terminal() && l.Terms.GPU.Devices[0] == int(i)
		}) {
			return int(i), true
		}
	}
	return 0, false
}

// named gives a gpu to a lease, and says which.
func (c *cell) named(l *api.Lease, device int) {
	l.Terms = &api.Terms{GPU: &api.GPUTerms{Class: api.GPUDeviceExclusive, Devices: []int{device}}}
	says := *l.Terms.GPU
	switch c.flaw { //nolint:exhaustive // what is about gpus
	case otherGPU:
		says.Devices = []int{device + 1}
	case oneGPU:
		says.Devices = []int{0}
	}
	l.Coordinate = "https://c1:7500/v1/leases/" + string(l.ID) + "?" + says.Query()
	c.bound[device] = true
}

type leased struct {
	api.Lease
	bytes []byte
	ends  time.Time
	cut   func() // of a run's
}

const clusterID = "g-test"

func newCell(t *testing.T, f flaw) *cell {
	t.Helper()
	b, err := capbroker.New(capbroker.Config{ClusterID: clusterID, Cell: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	b.SetEpoch(3)
	return &cell{flaw: f, broker: b, leases: map[api.LeaseID]*leased{}, spare: map[api.LeaseKind][]byte{}, proofs: map[string]bool{}, bound: map[int]bool{}}
}

func (c *cell) record() api.CellRecord {
	return api.CellRecord{ID: "c1", Provider: "local", Epoch: 3, Version: "v1", Capacity: api.Resources{CPU: 1000, Mem: 16 << 20, Block: 4 << 20, Net: 10 << 20, GPU: 2}}
}

func (c *cell) Fit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unfit
}

func (c *cell) Lease(_ context.Context, r api.LeaseRequest) (api.Grant, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flaw == neverBinds {
		return api.Grant{}, api.Refuse(api.BindTimeout, "cell c1 did not bind it")
	}
	if c.stuck != nil && r.Resources.Block > 0 {
		return api.Grant{}, c.stuck
	}
	for _, old := range c.leases {
		if c.flaw == keepsRoom && r.Resources.Get(old.Kind) > 0 && old.State == api.LeaseFenced {
			return api.Grant{}, NotTheCells(api.Refuse(api.PlacementFailed, "no room"))
		}
	}
	for _, k := range api.LeaseKinds() {
		taken := r.Resources.Get(k)
		for _, old := range c.leases {
			if old.Kind == k && !old.State.Terminal() {
				taken += old.Amount
			}
		}
		if most := c.capacity.Get(k); k != api.KindGPU && most > 0 && taken > most {
			return api.Grant{}, NotTheCells(api.Refuse(api.PlacementFailed, "%d of %s are not there", taken, k))
		}
	}
	l := &leased{}
	for _, k := range api.LeaseKinds() {
		if n := r.Resources.Get(k); n > 0 {
			l.Lease = api.Lease{
				ID: api.LeaseID(fmt.Sprintf("l-%d", len(c.leases))), Tenant: r.Tenant, Provider: r.Provider, CellID: "c1", Kind: k, Amount: n,
				State: api.LeaseActive, Generation: 1, Epoch: uint64(len(c.leases) + 1), Holder: r.Holder, TTLMs: r.TTLMs,
			}
			if k == api.KindMem {
				l.Use = api.UseRegion
			}
			if k == api.KindGPU {
				device, ok := c.device()
				if !ok {
					return api.Grant{}, NotTheCells(api.Refuse(api.NoEligibleProviderCells, "no gpu is free"))
				}
				if c.flaw == keepsGPU && c.bound[device] {
					return api.Grant{}, api.Refuse(api.Overloaded, "gpu %d is taken", device)
				}
				c.named(&l.Lease, device)
			}
			l.bytes = make([]byte, min(n, 1<<20))
			if c.flaw == dirty {
				copy(l.bytes, c.spare[k])
			}
		}
	}
	c.leases[l.ID] = l
	return c.grant(l, time.Duration(r.TTLMs)*time.Millisecond)
}

func (c *cell) grant(l *leased, ttl time.Duration) (api.Grant, error) {
	l.ends = time.Now().Add(ttl)
	if c.flaw == endsEarly {
		l.ends = l.ends.Add(-ttl * 2 / 3) // so much that a slow machine sees it
	}
	life := ttl
	if c.flaw == servesLate {
		life += time.Minute
	}
	token, err := c.broker.Mint(l.Lease, life)
	return api.Grant{Lease: l.Lease, Token: token}, err
}

func (c *cell) Renew(_ context.Context, id api.LeaseID, ttl time.Duration) (api.Grant, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flaw == noRenewal {
		return api.Grant{}, api.Refuse(api.OutcomeUnknown, "cell c1 has not applied it")
	}
	l := c.leases[id]
	l.Generation++
	return c.grant(l, ttl)
}

func (c *cell) Free(_ context.Context, id api.LeaseID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.freed++
	c.end(c.leases[id], "released")
	return nil
}

func (c *cell) Revoke(_ context.Context, id api.LeaseID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(c.leases[id], "revoked")
	return nil
}

func (c *cell) end(l *leased, reason string) {
	l.State, l.Reason = api.LeaseTornDown, reason
	if c.flaw == fences || c.flaw == keepsRoom {
		l.State = api.LeaseFenced
	}
	c.spare[l.Kind] = l.bytes
	if l.cut != nil {
		l.cut()
	}
}

func (c *cell) Ended(_ context.Context, id api.LeaseID) (api.Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.leases[id]
	c.expire(l)
	return l.Lease, nil
}

func (c *cell) Execute(ctx context.Context, w Work) (api.RunAnswer, error) {
	a := api.RunAnswer{Run: api.Run{State: api.RunSucceeded}, Output: greeting, Leases: []api.Lease{{Kind: api.KindCPU, State: api.LeaseTornDown}}}
	if w.Resources.GPU > 0 {
		c.mu.Lock()
		device, _ := c.device()
		g := api.Lease{Kind: api.KindGPU, State: api.LeaseTornDown}
		c.named(&g, device)
		a.Leases = append(a.Leases, g)
		c.mu.Unlock()
	}
	if w.call != nil {
		ctx, stop := context.WithTimeout(ctx, w.TTL)
		defer stop()
		if w.Begun != nil {
			c.mu.Lock()
			l := &leased{Lease: api.Lease{ID: "l-run", Kind: api.KindNet, State: api.LeaseActive}, ends: time.Now().Add(w.TTL), cut: stop}
			c.leases[l.ID] = l
			c.mu.Unlock()
			w.Begun(map[api.LeaseKind]api.LeaseID{l.Kind: l.ID})
		}
		a.Output, a.State = c.call(ctx, w)
	}
	if bytes.Equal(w.Module, loops()) {
		time.Sleep(w.TTL)
		a.State, a.Output = api.RunExpired, ""
		if c.flaw == neverStops {
			a.State = api.RunSucceeded
		}
	}
	if c.flaw == noOutput {
		a.Output = ""
	}
	if c.flaw == fences {
		a.Leases[0].State = api.LeaseFenced
	}
	return a, nil
}

func (c *cell) expire(l *leased) {
	if !l.State.Terminal() && !time.Now().Before(l.ends) {
		c.end(l, "expired")
	}
}

func (c *cell) LeaseData(_ context.Context, r api.DataRequest) (*api.DataAnswer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.leases[r.Lease]
	if c.unasked != nil {
		return nil, NotTheCells(c.unasked)
	}
	if c.flaw == excuses {
		return nil, api.Refuse(api.QuotaExceeded, "it is somebody else's doing")
	}
	var body []byte
	if r.Write {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	if err := c.judge(l, r, body); err != nil {
		p := *api.Problem(err)
		if p.Kind == api.Unauthenticated {
			p.Nonce = c.broker.Challenge()
		}
		return nil, &p
	}
	if r.Offset+r.Length > l.Amount && c.flaw != longReads {
		if c.flaw == halfWrites && r.Write && r.Offset < l.Amount {
			copy(l.bytes[r.Offset:], body)
		}
		return nil, api.Refuse(api.InvalidArgument, "not within")
	}
	if r.Write {
		if c.flaw != forgets && r.Offset < l.Amount {
			copy(l.bytes[r.Offset:], body)
		}
		return &api.DataAnswer{Length: r.Length}, nil
	}
	out := make([]byte, r.Length)
	if r.Offset < l.Amount {
		copy(out, l.bytes[r.Offset:])
	}
	return &api.DataAnswer{Length: r.Length, Body: io.NopCloser(bytes.NewReader(out))}, nil
}

// judge is what a cell asks of an operation, but for its flaw.
func (c *cell) judge(l *leased, r api.DataRequest, body []byte) error {
	v, err := c.broker.Verify(r.Token)
	if err != nil {
		if c.flaw != anyToken || c.last == nil || api.KindOf(err) == api.TokenExpired {
			return err
		}
		v = c.last
	}
	c.last = v
	if c.flaw != servesLate {
		c.expire(l)
	}
	rec := l.Lease
	if c.flaw == servesEnded && rec.Reason != "expired" || c.flaw == servesLate {
		rec.State = api.LeaseActive
	}
	if err := v.Standing(rec); err != nil {
		old := c.flaw == oldTokens && api.KindOf(err) == api.StaleGeneration
		other := c.flaw == anyLease && api.KindOf(err) == api.CaveatFailed
		if !old && !other && c.flaw != anyToken {
			return err
		}
	}
	u := capbroker.Use{Op: "read", Offset: r.Offset, Length: r.Length, Proof: r.Proof}
	if r.Write {
		u.Op, u.Body = "write", sha256.Sum256(body)
	}
	if err := c.confirm(v, u); err != nil {
		return err
	}
	if err := v.Allow(l.Lease, u); err != nil && c.flaw != ignoresCuts {
		return err
	}
	return nil
}

func (c *cell) confirm(v *capbroker.Verified, u capbroker.Use) error {
	if c.flaw == anyHolder || c.flaw == anyProof && u.Proof != "" || c.flaw == replays && c.proofs[u.Proof] {
		return nil
	}
	err := v.Confirm(u)
	c.proofs[u.Proof] = err == nil && u.Proof != ""
	return err
}

// call does what the module of a call does.
func (c *cell) call(ctx context.Context, w Work) (string, api.RunState) {
	says := func(status int) (string, api.RunState) { return string(rune('A' - status)), api.RunSucceeded }
	switch listed := slices.Contains(w.Egress, w.call.to); {
	case !listed && c.flaw != anywhere, c.flaw == refuses:
		return says(dialRefused)
	case c.flaw == walled:
		return says(dialUnreachable)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", w.call.to)
	if err != nil {
		return says(dialUnreachable)
	}
	_, _ = conn.Write([]byte(w.call.secret))
	if !w.call.pours {
		answer, _ := io.ReadAll(conn)
		_ = conn.Close()
		if c.flaw == loses {
			answer = nil
		}
		return string(answer), api.RunSucceeded
	}
	for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		_, _ = conn.Write([]byte("more"))
	}
	if c.flaw != keepsFlows {
		return "", closed(conn)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, conn)
	return "", api.RunExpired
}

func closed(conn net.Conn) api.RunState {
	_ = conn.Close()
	return api.RunExpired
}

// run proves a fake cell.
func (c *cell) run(ctx context.Context, t *testing.T) (*api.ConformanceReport, error) {
	t.Helper()
	rec := c.record()
	return Run(ctx, Config{
		Fabric: c, ClusterID: clusterID, Cell: rec, Free: rec.Capacity, Host: "127.0.0.1", Clock: clock.System(), Emit: func(api.ConformanceCheck) {},
	})
}
