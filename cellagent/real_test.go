package cellagent

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
)

// nop is a WASI command that does nothing: one function, exported as _start, and a memory.
const nop = "\x00asm\x01\x00\x00\x00" +
	"\x01\x04\x01\x60\x00\x00" + // type: func()
	"\x03\x02\x01\x00" + // one function of it
	"\x05\x03\x01\x00\x01" + // one page of memory
	"\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x00" +
	"\x0a\x04\x01\x02\x00\x0b"

// realCell is everything but the schedulers for real: clock, timer, disk, memory, workers, TLS.
type realCell struct {
	*bench
	config Config
	client *http.Client
	issue  func(pki.Identity) func() (*tls.Certificate, error)
}

// newRealConfig makes a valid config with real certificates.
func newRealConfig(t *testing.T) Config {
	t.Helper()
	config, _ := newRealCerts(t)
	return config
}

// newRealCerts is newRealConfig, with what issues more of them.
func newRealCerts(t *testing.T) (Config, func(pki.Identity) func() (*tls.Certificate, error)) {
	t.Helper()
	material, err := pki.InitMaterial(filepath.Join(t.TempDir(), "ca"), pki.InitOptions{ClusterID: "g-test"})
	if err != nil {
		t.Fatal(err)
	}
	issue := func(id pki.Identity) func() (*tls.Certificate, error) {
		var at []net.IP
		if id.Role == api.RoleCell {
			at = []net.IP{net.IPv4(127, 0, 0, 1)}
		}
		cred, err := material.Issue(pki.CertRequest{Identity: id, IPs: at})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := cred.TLS()
		if err != nil {
			t.Fatal(err)
		}
		return func() (*tls.Certificate, error) { return &cert, nil }
	}
	return Config{
		Provider: "local", CellID: "local-1", ClusterID: "g-test", Dir: t.TempDir(), Schedulers: []string{"https://s1", "https://s2"},
		Credential: issue(pki.Identity{Role: api.RoleCell, Provider: "local", Cell: "local-1"}),
		Roots:      material.Pool(), DataBind: "127.0.0.1:0", BlockBytes: 64 << 20, Zone: "z1", Log: hclog.NewNullLogger(),
	}, issue
}

func newRealCell(t *testing.T) *realCell {
	t.Helper()
	config, issue := newRealCerts(t)
	d, err := openDeps(t.Context(), config)
	if err != nil {
		t.Fatalf("open: %v (%v)", err, d.close())
	}
	c := &realCell{bench: &bench{t: t, cluster: newCluster(t, config.Schedulers...)}, config: config, issue: issue}
	d.Dial = c.cluster.dial
	if c.agent, err = Start(t.Context(), config, d); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	c.client = c.clientOf(issue(pki.Identity{Role: api.RoleTenant, Name: "acme"}))
	return c
}

// clientOf returns an HTTP client with a certificate; nil is none.
func (c *realCell) clientOf(cert func() (*tls.Certificate, error)) *http.Client {
	transport := &http.Transport{TLSClientConfig: pki.ClientTLS(pki.ClientOptions{
		Roots: c.config.Roots, ClusterID: "g-test", Server: api.RoleCell, Cert: cert,
	}), ForceAttemptHTTP2: true}
	c.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// until waits for a state of the cluster.
func (c *cluster) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		c.mu.Lock()
		changed, done := c.changed, ok()
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("not reached: %s", what)
		}
	}
}

func (c *realCell) lease(id string, kind api.LeaseKind, amount int64, ttl time.Duration) api.Lease {
	l := api.Lease{
		ID: api.LeaseID(id), Tenant: "acme", Provider: "local", CellID: "local-1", Kind: kind, Amount: amount,
		State: api.LeaseActive, Generation: 1, Epoch: 3, Priority: api.PriorityStandard, TTLMs: ttl.Milliseconds(),
		Stamp: stampOf(c.agent.deps.Clock),
	}
	if kind == api.KindMem {
		l.Use = api.UseRegion
	}
	return l
}

func (c *realCell) do(t *testing.T, method string, l api.Lease, query, token string, body []byte) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, l.Coordinate+query, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

func TestRealBindingsAndDataPlane(t *testing.T) {
	c := newRealCell(t)
	for _, kind := range []api.LeaseKind{api.KindMem, api.KindBlock} {
		id := api.LeaseID(kind)
		c.cluster.put(c.lease(string(kind), kind, 1<<20, time.Minute))
		c.cluster.until(t, "bound", func() bool { return c.cluster.leases[id].BoundGeneration == 1 })
		l, token := c.cluster.lease(id), c.cluster.token(id)
		if status, body := c.do(t, http.MethodPut, l, "?offset=512", token, []byte("kept")); status != http.StatusNoContent {
			t.Fatalf("%s: write answers %d %s", kind, status, body)
		}
		if status, body := c.do(t, http.MethodGet, l, "?offset=510&length=8", token, nil); status != http.StatusOK || body != "\x00\x00kept\x00\x00" {
			t.Fatalf("%s: read answers %d %q", kind, status, body)
		}
		l.State, l.Reason = api.LeaseForcedTeardown, "released"
		c.cluster.put(l)
		c.cluster.until(t, "torn down", func() bool { return c.cluster.leases[id].State == api.LeaseTornDown })
		if status, body := c.do(t, http.MethodGet, l, "", token, nil); status != http.StatusForbidden || !strings.Contains(body, "lease_revoked") {
			t.Fatalf("%s: read after the end answers %d %s", kind, status, body)
		}
	}
}

func TestRealTimerEndsLeaseCutOff(t *testing.T) {
	c := newRealCell(t)
	l := c.lease("l1", api.KindMem, 4096, time.Second)
	c.cluster.put(l)
	c.cluster.until(t, "bound", func() bool { return c.cluster.leases["l1"].BoundGeneration == 1 })
	c.cluster.kill("https://s1")
	c.cluster.kill("https://s2")
	wait := time.NewTimer(time.Second + 250*time.Millisecond)
	<-wait.C
	if _, _, err := c.agent.keeper.usable("l1"); api.KindOf(err) != api.LeaseExpiredKind {
		t.Fatalf("use after the deadline is answered %v", err)
	}
	c.cluster.revive("https://s1")
	c.cluster.until(t, "reported", func() bool { return c.cluster.leases["l1"].State == api.LeaseTornDown })
}

func TestRealRun(t *testing.T) {
	c := newRealCell(t)
	c.clock = &fakeClock{} // place stamps with the real one below
	stamp := stampOf(c.agent.deps.Clock)
	c.stamp = &stamp
	module := c.cluster.blob(nop)
	c.place("r1", time.Minute, func(r *api.Run) { r.Module = module })
	c.cluster.until(t, "result", func() bool { return c.cluster.runs["r1"].State.Terminal() })
	if r := c.cluster.run("r1"); r.State != api.RunSucceeded || len(r.Artifacts) != 3 {
		t.Fatalf("run is %s (%+v) with %v", r.State, r.Failure, r.Artifacts)
	}
	c.checkResultFirst()
}

func TestRealInventory(t *testing.T) {
	c := newRealCell(t)
	var got *api.InventoryReport
	c.cluster.until(t, "inventory", func() bool {
		for _, r := range c.cluster.reports {
			if r.Inventory != nil {
				got = r.Inventory
			}
		}
		return got != nil
	})
	inv := got.Inventory
	if inv.TotalCPU < 1 || inv.TotalMem < 64<<20 || inv.TotalBlock < 1<<20 || inv.Zone != "z1" || len(inv.Isolation) == 0 {
		t.Errorf("inventory is %+v", inv)
	}
	if got.Capacity.CPU != inv.TotalCPU*1000 || got.Capacity.Block != 64<<20 {
		t.Errorf("capacity is %+v", got.Capacity)
	}
}

func TestTwoAgentsNeverShareADirectory(t *testing.T) {
	c := newRealCell(t)
	if _, err := Open(t.Context(), c.config); err == nil || api.KindOf(err) != api.Conflict {
		t.Fatalf("a second agent in the directory: %v", err)
	}
}

func TestWipe(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dirBindings, dirTemp, dirModules} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "secret"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := wipe(dir); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(left) != 2 || slices.ContainsFunc(left, func(p string) bool { return filepath.Base(filepath.Dir(p)) == dirTemp }) {
		t.Fatalf("left after wiping: %v, %v", left, err)
	}
}

func TestBootClockAndAlarm(t *testing.T) {
	clock, err := openBootClock()
	if err != nil {
		t.Fatal(err)
	}
	a, err := clock.NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, at := range []int64{clock.Now() + int64(20*time.Millisecond), max(clock.Now()-int64(time.Hour), 1), 1} {
		if err := a.Set(at); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		select {
		case <-a.C():
		case <-ctx.Done():
			t.Fatalf("alarm for %d did not ring", at)
		}
		cancel()
		if now := clock.Now(); now < at {
			t.Fatalf("alarm rang %d ns early", at-now)
		}
	}
	if err := a.Set(0); err != nil {
		t.Fatal(err)
	}
	quiet := time.NewTimer(30 * time.Millisecond)
	defer quiet.Stop()
	select {
	case <-a.C():
		t.Fatal("an alarm for never rang")
	case <-quiet.C:
	}
}
