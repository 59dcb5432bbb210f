package tasklet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/egress"
	"github.com/grafos/grafos/cellagent/work"
)

// server serves every connection with f until the test ends, and returns its address.
func server(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				f(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

func echoes(conn net.Conn) { _, _ = io.Copy(conn, conn) }

// netJob is a job of the guest with a network.
func netJob(t *testing.T, rate int64, allow []string, args ...string) (work.Job, *egress.Egress) {
	t.Helper()
	j := guestJob(t, append([]string{"net"}, args...)...)
	j.Word = work.NewWord(j.Deadline)
	e, err := egress.Open(egress.Options{Rate: rate, Allow: allow, Now: BootTime, Left: func() time.Duration {
		deadline, _, _ := j.Word.Now()
		return time.Duration(deadline - BootTime())
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	j.Net = e
	return j, e
}

// TestNetwork: a guest sends and receives over its net lease, through a worker that has no socket, at
// the lease's rate.
func TestNetwork(t *testing.T) {
	r := open(t)
	to := server(t, echoes)
	const bytes, rate = 400_000, 2_000_000 // 1.6 s
	j, e := netJob(t, rate, []string{to}, "echo", to, fmt.Sprint(bytes))
	began := time.Now()
	out := r.Run(t.Context(), j)
	if out.State != api.RunSucceeded || string(out.Stdout) != fmt.Sprintf("echoed %d true 0\n", bytes) {
		t.Fatalf("%s %+v: %q", out.State, out.Failure, out.Stdout)
	}
	if u := e.Usage(); u != (api.NetUsage{BytesOut: bytes, BytesIn: bytes, Flows: 1}) {
		t.Errorf("usage %+v", u)
	}
	least := time.Duration(float64(bytes) * 8 / rate * float64(time.Second))
	if took := time.Since(began); took < least*9/10 {
		t.Errorf("%d bytes took %s at %d bits/s, which is %s", bytes, took, rate, least)
	}
	t.Logf("%s guest time, %s by the rate", out.Duration, least)
}

// TestNetworkRefuses: what the allow-list has not is refused with its number, and nothing stops the
// guest.
func TestNetworkRefuses(t *testing.T) {
	r := open(t)
	to := server(t, echoes)
	closed := server(t, echoes)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		allow, to []string
		says      string
		denied    int64
	}{
		"an empty list":  {nil, []string{to}, "-8\n", 1},
		"another port":   {[]string{to}, []string{to, closed}, "1\n-8\n", 1},
		"loopback":       {[]string{"0.0.0.0/0:80", "localhost:80"}, []string{"127.0.0.1:80", "localhost:80"}, "-8\n-8\n", 2},
		"nobody answers": {[]string{nobody}, []string{nobody}, "-9\n", 0},
		"no address":     {[]string{to}, []string{"nonsense", strings.Repeat("x", 600)}, "-12\n-12\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			j, e := netJob(t, 1e6, tt.allow, append([]string{"dial"}, tt.to...)...)
			if out := r.Run(t.Context(), j); out.State != api.RunSucceeded || string(out.Stdout) != tt.says {
				t.Errorf("%s %+v: %q", out.State, out.Failure, out.Stdout)
			}
			if u := e.Usage(); u.Denied != tt.denied {
				t.Errorf("usage %+v", u)
			}
		})
	}
	j := guestJob(t, "net", "dial", to)
	if out := r.Run(t.Context(), j); out.State != api.RunSucceeded || string(out.Stdout) != "-5\n" {
		t.Errorf("without a lease: %s %+v: %q", out.State, out.Failure, out.Stdout)
	}
}

// TestNetworkOddCalls: what a guest should not ask harms nobody.
func TestNetworkOddCalls(t *testing.T) {
	r := open(t)
	to := server(t, echoes)
	j, _ := netJob(t, 1e6, []string{to}, "odd", to)
	out := r.Run(t.Context(), j)
	if want := "true -4 -4 0 0 -11 -11 -11 -12 -7 -7 0 -11 -11\n"; out.State != api.RunSucceeded || string(out.Stdout) != want {
		t.Errorf("%s %+v: %q, want %q", out.State, out.Failure, out.Stdout, want)
	}
}

// TestNetworkFlood: a guest that makes calls as fast as it can costs its agent what a lease may, and dies in time.
func TestNetworkFlood(t *testing.T) {
	r := open(t)
	if out := r.Run(t.Context(), guestJob(t, "show")); out.State != api.RunSucceeded {
		t.Fatalf("%+v", out) // compiled from here on
	}
	j, e := netJob(t, 1e6, nil, "flood", "127.0.0.1:80")
	j.Word = work.NewWord(BootTime() + int64(3*time.Second))
	j.Deadline, _, _ = j.Word.Now()
	out := r.Run(t.Context(), j)
	if out.State != api.RunExpired || !bytes.Contains(out.Stderr, []byte("flooding")) {
		t.Errorf("%s %+v: %q", out.State, out.Failure, out.Stderr)
	}
	if u := e.Usage(); u.Denied > 64*5 || u.Denied < 64 {
		t.Errorf("%d connections were refused in 3 s", u.Denied)
	}
}

// arrivals notes when the last byte came to a server.
type arrivals struct {
	came, gone chan struct{} // closed when its connection begins and ends

	mu   sync.Mutex
	n    int64
	last int64 // CLOCK_BOOTTIME
}

func (a *arrivals) drink(conn net.Conn) {
	defer close(a.gone)
	close(a.came)
	p := make([]byte, 64<<10)
	for {
		n, err := conn.Read(p)
		if n > 0 {
			a.mu.Lock()
			a.n, a.last = a.n+int64(n), BootTime()
			a.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// TestNetworkEnds: a guest that waits for bytes, or pours them out, is gone with its flow at its deadline, also at
// one that has moved, and when it is revoked.
func TestNetworkEnds(t *testing.T) {
	r := open(t)
	if out := r.Run(t.Context(), guestJob(t, "show")); out.State != api.RunSucceeded {
		t.Fatalf("%+v", out) // compiled from here on
	}
	for _, what := range []string{"hold", "pour"} {
		for _, revoked := range []bool{false, true} {
			t.Run(fmt.Sprint(what, " revoked ", revoked), func(t *testing.T) { networkEnds(t, r, what, revoked) })
		}
	}
}

func networkEnds(t *testing.T, r *Runner, what string, revoked bool) {
	t.Helper()
	a := &arrivals{came: make(chan struct{}), gone: make(chan struct{})}
	to := server(t, a.drink)
	j, e := netJob(t, 1e9, []string{to}, what, to)
	j.Deadline = BootTime() + int64(4*time.Second)
	j.Word = work.NewWord(j.Deadline)
	end, want := j.Deadline+int64(time.Second), api.RunExpired
	j.Word.Extend(end)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ender sync.WaitGroup
	ender.Go(func() {
		if revoked {
			<-a.came
			end, want = BootTime()+int64(200*time.Millisecond), api.RunRevoked
		}
		time.Sleep(time.Duration(end - BootTime())) // as long as the lease lasts
		if revoked {
			cancel() // as the keeper does: first the worker, then its flows
		}
		e.Halt()
	})
	out := r.Run(ctx, j)
	over := BootTime()
	ender.Wait()
	if late := time.Duration(over - end); out.State != want || late > time.Second || late < -50*time.Millisecond {
		t.Errorf("%s %+v, %s after its end", out.State, out.Failure, late)
	}
	select {
	case <-a.gone:
	case <-time.After(10 * time.Second):
		t.Fatal("its flow is still there, or never was")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	late := time.Duration(a.last - end)
	if (a.n > 0) != (what == "pour") || late > 500*time.Millisecond {
		t.Errorf("%d bytes came, the last %s after the end", a.n, late)
	}
	t.Logf("ended %s after its end, the last of %d bytes %s", time.Duration(over-end), a.n, late)
}

// TestCalls: calls and replies are what they were on the other side.
func TestCalls(t *testing.T) {
	for _, c := range []call{
		{op: opDial, ms: -1, data: []byte("a.example:80")},
		{op: opSend, flow: 7, ms: 0, data: make([]byte, callData)},
		{op: opRecv, flow: math.MaxInt32, ms: math.MinInt32, want: callData, data: []byte{}},
		{op: opHang, flow: 1, data: []byte{}},
	} {
		raw := c.encode()
		if len(raw) > maxPiece {
			t.Errorf("a call of %d bytes is no frame", len(raw))
		}
		got, err := parseCall(raw)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c) {
			t.Errorf("%v came as %v: %v", c.op, got.op, err)
		}
	}
	for name, c := range map[string]call{
		"no kind":             {},
		"another kind":        {op: 9},
		"more than a piece":   {op: opSend, data: make([]byte, callData+1)},
		"room for too much":   {op: opRecv, want: callData + 1},
		"receives with bytes": {op: opRecv, data: []byte("x")},
		"ends with room":      {op: opHang, want: 1},
	} {
		if _, err := parseCall(c.encode()); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := parseCall(make([]byte, callHead-1)); err == nil {
		t.Error("half a call is taken")
	}
	for _, raw := range [][]byte{nil, {0, 0, 0}, {0, 0, 0, 2, 1}, {0xff, 0xff, 0xff, 0xff, 1}} {
		if _, err := parseReply(raw); err == nil {
			t.Errorf("reply % x is taken", raw)
		}
	}
}

// FuzzCall proves that no bytes of a worker's are taken for a call that asks for more than one may, and
// that what is taken is what was written.
func FuzzCall(f *testing.F) {
	f.Add(call{op: opDial, ms: 5, data: []byte("a:1")}.encode())
	f.Add(call{op: opRecv, flow: 3, want: 9}.encode())
	f.Add([]byte{4})
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := parseCall(in)
		if err != nil {
			return
		}
		if c.want > callData || len(c.data) > callData || !bytes.Equal(c.encode(), in) {
			t.Fatalf("took %+v", c)
		}
	})
}

// FuzzReply does the same for a reply.
func FuzzReply(f *testing.F) {
	f.Add(reply{result: 3, data: []byte("abc")}.encode())
	f.Add(reply{result: -8}.encode())
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := parseReply(in)
		if err == nil && (len(r.data) > 0 && int(r.result) != len(r.data) || !bytes.Equal(r.encode(), in)) {
			t.Fatalf("took %+v", r)
		}
	})
}
