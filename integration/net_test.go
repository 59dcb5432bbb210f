package integration

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// wire is a server that a tasklet connects to: it gives back what it gets, and knows when it got the last
// of it.
type wire struct {
	addr string
	ends chan struct{} // one for each connection that has ended

	mu   sync.Mutex
	n    int64
	last time.Time
}

func newWire(t *testing.T, echo bool) *wire {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), ends: make(chan struct{}, 64)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { w.serve(conn, echo) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return w
}

func (w *wire) serve(conn net.Conn, echo bool) {
	defer func() {
		_ = conn.Close()
		w.ends <- struct{}{}
	}()
	for p := make([]byte, 32<<10); ; {
		n, err := conn.Read(p)
		if n > 0 {
			w.mu.Lock()
			w.n, w.last = w.n+int64(n), time.Now()
			w.mu.Unlock()
			if echo {
				_, _ = conn.Write(p[:n])
			}
		}
		if err != nil {
			return
		}
	}
}

// came is how much has come, and when the last of it.
func (w *wire) came() (int64, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n, w.last
}

// TestNetwork: a tasklet has the network that its net lease says and no other: what stands in its allow-list, at
// the lease's rate, for as long as the lease lasts.
func TestNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := upWith(t, "--schedulers", "3", "--cells", "1", "--net", "100M", "--allow-overcommit")
	module := guest(t, "caller")
	echo, other := newWire(t, true), newWire(t, true)
	run := func(stdin []byte, args ...string) harness.Said {
		t.Helper()
		said, err := c.Exec(t.Context(), stdin, append([]string{"deploy", "run", "--provider", "local", "--module", module, "--mem", "64M"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return said
	}

	input := bytes.Repeat([]byte("0123456789abcdef"), 25_000) // 400,000 bytes, which take 1.6 s
	began := time.Now()
	said := run(input, "--net", "2000000", "--allow", echo.addr, "--input", "-", "--", echo.addr, "echo")
	if took := time.Since(began); said.Code != 0 || !bytes.Equal(said.Stdout, input) || took < 1440*time.Millisecond {
		t.Errorf("echo: exit %d after %s, %d bytes: %s", said.Code, took, len(said.Stdout), said.Stderr)
	}
	var runs api.RunList
	if err := c.JSON(t.Context(), &runs, "run", "list"); err != nil || len(runs.Runs) != 1 || runs.Runs[0].Net == nil {
		t.Fatalf("runs %+v, %v", runs.Runs, err)
	}
	if got, size := *runs.Runs[0].Net, int64(len(input)); got != (api.NetUsage{BytesOut: size, BytesIn: size, Flows: 1}) {
		t.Errorf("went through: %+v", got)
	}
	for name, args := range map[string][]string{
		"an address that is not listed": {"--net", "1M", "--allow", echo.addr, "--", other.addr, "dial"},
		"without a list":                {"--net", "1M", "--", echo.addr, "dial"},
		"loopback by a list of it all":  {"--net", "1M", "--allow", "0.0.0.0/0:" + port(echo.addr), "--", echo.addr, "dial"},
		"loopback by name":              {"--net", "1M", "--allow", "localhost:" + port(echo.addr), "--", "localhost:" + port(echo.addr), "dial"},
	} {
		if said := run(nil, args...); said.Code != 1 || string(said.Stdout) != "dial -8\n" {
			t.Errorf("%s: exit %d, %q, %s", name, said.Code, said.Stdout, said.Stderr)
		}
	}
	if said := run(nil, "--", echo.addr, "dial"); said.Code != 1 || string(said.Stdout) != "dial -5\n" {
		t.Errorf("without a net lease: exit %d, %q, %s", said.Code, said.Stdout, said.Stderr)
	}
	if n, _ := other.came(); n > 0 {
		t.Errorf("%d bytes came where nobody may connect to", n)
	}
	testNetworkEnds(t, c, run)
	testNetworkRefusals(t, c, run)
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// testNetworkEnds: the flow of a run ends with its lease, at its end and when it is revoked.
func testNetworkEnds(t *testing.T, c *harness.Cluster, run func([]byte, ...string) harness.Said) {
	t.Helper()
	for _, revoke := range []bool{false, true} {
		sink := newWire(t, false)
		ttl := "6s"
		if revoke {
			ttl = "5m"
		}
		said := run(nil, "--net", "50M", "--allow", sink.addr, "--ttl", ttl, "--detach", "--json", "--", sink.addr, "pour")
		var r api.RunAnswer
		if err := json.Unmarshal(said.Stdout, &r); err != nil || said.Code != 0 {
			t.Fatalf("exit %d: %s", said.Code, said.Stderr)
		}
		if revoke {
			eventually(t, 30*time.Second, func() string {
				if n, _ := sink.came(); n == 0 {
					return "nothing has come"
				}
				return ""
			})
			lease := ""
			for _, l := range r.Leases {
				if l.Kind == api.KindNet {
					lease = string(l.ID)
				}
			}
			if _, err := c.Run(t.Context(), "lease", "revoke", lease, "--yes"); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-sink.ends:
		case <-time.After(20 * time.Second):
			t.Fatal("the flow outlives its lease")
		}
		over := time.Now()
		if err := c.JSON(t.Context(), &r, "run", "show", string(r.ID)); err != nil {
			t.Fatal(err)
		}
		n, last := sink.came()
		if n == 0 {
			t.Error("nothing came")
		}
		if revoke {
			continue
		}
		for _, l := range r.Leases {
			// The cell's end is no later than the schedulers' plus what a grant may be on its way.
			if l.Kind == api.KindNet && last.After(l.ExpiresAt.Add(time.Second)) {
				t.Errorf("the last byte came %s after the lease's end, the flow ended %s after", last.Sub(l.ExpiresAt), over.Sub(l.ExpiresAt))
			}
		}
	}
}

// testNetworkRefusals: what cannot be is refused before anything runs, with what to do about it.
func testNetworkRefusals(t *testing.T, c *harness.Cluster, run func([]byte, ...string) harness.Said) {
	t.Helper()
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a list without net":  {[]string{"--allow", "192.0.2.1:80"}, 2, "--net BITS"},
		"no port":             {[]string{"--net", "1M", "--allow", "192.0.2.1"}, 2, "HOST:PORT"},
		"an unheard-of range": {[]string{"--net", "1M", "--allow", "10.0.0.1/8:80"}, 2, "10.0.0.0/8"},
		"more than there is":  {[]string{"--net", "1G"}, 4, "insufficient"},
	} {
		if said := run(nil, append(tt.args, "--", "192.0.2.1:80", "dial")...); said.Code != tt.code || !bytes.Contains(said.Stderr, []byte(tt.says)) {
			t.Errorf("%s: exit %d, %s", name, said.Code, said.Stderr)
		}
	}
	var set api.GrantSet
	if err := c.JSON(t.Context(), &set, "lease", "request", "--provider", "local", "--net", "1M", "--ttl", "5s"); err != nil || len(set.Leases) != 1 || set.Leases[0].Coordinate == "" {
		t.Errorf("a reservation: %+v, %v", set, err)
		return
	}
	said, err := c.Exec(t.Context(), nil, "lease", "read", string(set.Leases[0].ID))
	if err != nil || said.Code != 2 || !bytes.Contains(said.Stderr, []byte("has nothing to read or write")) {
		t.Errorf("read a reservation: exit %d, %s, %v", said.Code, said.Stderr, err)
	}
}
