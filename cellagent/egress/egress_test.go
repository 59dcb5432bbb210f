package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/cellagent/work"
)

// outside is a network that a test looks at: names that resolve to what it says, and connections
// whose other ends it gets.
type outside struct {
	mu     sync.Mutex
	names  map[string][]netip.Addr
	dialed []netip.AddrPort
	ends   chan net.Conn
	dial   func(context.Context, netip.AddrPort) (net.Conn, error) // nil is a connection
	own    []netip.Addr
	routed []netip.Addr
}

func newOutside() *outside {
	return &outside{names: map[string][]netip.Addr{}, ends: make(chan net.Conn, 2*FlowsMost)}
}

func (o *outside) system() System {
	return System{
		Dial: func(ctx context.Context, to netip.AddrPort, _ int) (net.Conn, error) {
			o.mu.Lock()
			o.dialed = append(o.dialed, to)
			o.mu.Unlock()
			if o.dial != nil {
				return o.dial(ctx, to)
			}
			ours, theirs := net.Pipe()
			o.ends <- theirs
			return ours, nil
		},
		Lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if len(o.names[name]) == 0 {
				return nil, errors.New("no such host")
			}
			return o.names[name], nil
		},
		Own:   func() ([]netip.Addr, error) { return o.own, nil },
		Local: func(to netip.AddrPort) bool { return slices.Contains(o.routed, to.Addr()) },
	}
}

// set lets a name resolve to something from now on.
func (o *outside) set(name string, addrs ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names[name] = nil
	for _, a := range addrs {
		o.names[name] = append(o.names[name], netip.MustParseAddr(a))
	}
}

// lease is an Egress with a deadline that a test moves.
type lease struct {
	*Egress
	start time.Time
	life  atomic.Int64 // from the start
}

func (l *lease) left() time.Duration { return time.Duration(l.life.Load()) - time.Since(l.start) }

func (l *lease) extend(life time.Duration) { l.life.Store(int64(life)) }

func openLease(t *testing.T, o *outside, rate int64, allow ...string) *lease {
	t.Helper()
	l := &lease{start: time.Now()}
	l.extend(time.Hour)
	e, err := Open(Options{
		Rate: rate, Allow: allow, System: o.system(), Left: l.left,
		Now: func() int64 { return time.Since(l.start).Nanoseconds() },
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Egress = e
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *lease) mustDial(t *testing.T, to string) int32 {
	t.Helper()
	id, s := l.Dial(t.Context(), to, time.Second)
	if s != work.NetOK || id <= 0 {
		t.Fatalf("dial %s: flow %d, status %d", to, id, s)
	}
	return id
}

// TestAllowList: what may be connected to, and what may not, whatever it is called.
func TestAllowList(t *testing.T) {
	const public, other, private = "93.184.216.34", "93.184.216.35", "10.1.2.3"
	tests := []struct {
		name, to string
		allow    []string
		resolves []string
		want     work.NetStatus
	}{
		{"nothing listed", public + ":80", nil, nil, work.NetRefused},
		{"listed", public + ":80", []string{public + ":80"}, nil, work.NetOK},
		{"another port", public + ":81", []string{public + ":80"}, nil, work.NetRefused},
		{"another address", other + ":80", []string{public + ":80"}, nil, work.NetRefused},
		{"in the range", other + ":80", []string{"93.184.216.0/24:80"}, nil, work.NetOK},
		{"outside of the range", "93.184.217.1:80", []string{"93.184.216.0/24:80"}, nil, work.NetRefused},
		{"mapped", "[::ffff:" + public + "]:80", []string{public + ":80"}, nil, work.NetOK},
		{"mapped loopback", "[::ffff:127.0.0.1]:80", []string{"0.0.0.0/0:80", "[::/0]:80"}, nil, work.NetRefused},
		{"by name", "a.example:80", []string{"a.example:80"}, []string{public}, work.NetOK},
		{"by name in capitals", "A.Example:80", []string{"a.example:80"}, []string{public}, work.NetOK},
		{"by name at another port", "a.example:81", []string{"a.example:80"}, []string{public}, work.NetRefused},
		{"the host itself, mapped", "[::ffff:198.51.200.9]:80", []string{"198.51.200.9:80"}, nil, work.NetRefused},
		{"another name", "b.example:80", []string{"a.example:80"}, []string{public}, work.NetRefused},
		{"a name below", "x.a.example:80", []string{"a.example:80"}, []string{public}, work.NetRefused},
		{"the address of a listed name", public + ":80", []string{"a.example:80"}, []string{public}, work.NetRefused},
		{"a name for a listed address", "a.example:80", []string{public + ":80"}, []string{public}, work.NetRefused},
		{"a name of a private address", "a.example:80", []string{"a.example:80"}, []string{private}, work.NetRefused},
		{"a name of loopback", "a.example:80", []string{"a.example:80", "0.0.0.0/0:80"}, []string{"127.0.0.1"}, work.NetRefused},
		{"a name of metadata", "a.example:80", []string{"a.example:80"}, []string{"169.254.169.254", "fd00:ec2::254"}, work.NetRefused},
		{"a name of both", "a.example:80", []string{"a.example:80"}, []string{private, public}, work.NetOK},
		{"a name of a listed private address", "a.example:80", []string{"a.example:80", "10.0.0.0/8:80"}, []string{private}, work.NetOK},
		{"everything is not loopback", "127.0.0.1:80", []string{"0.0.0.0/0:80"}, nil, work.NetRefused},
		{"everything is not IPv6 loopback", "[::1]:80", []string{"[::/0]:80"}, nil, work.NetRefused},
		{"everything is not metadata", "169.254.169.254:80", []string{"0.0.0.0/0:80"}, nil, work.NetRefused},
		{"this host by another way", "0.0.0.0:80", []string{"0.0.0.0/0:80"}, nil, work.NetRefused},
		{"hidden in NAT64", "[64:ff9b::7f00:1]:80", []string{"[::/0]:80"}, nil, work.NetRefused},
		{"hidden in 6to4", "[2002:7f00:1::]:80", []string{"[::/0]:80"}, nil, work.NetRefused},
		{"listed loopback", "127.0.0.1:80", []string{"127.0.0.1:80"}, nil, work.NetOK},
		{"listed private range", private + ":80", []string{"10.1.0.0/16:80"}, nil, work.NetOK},
		{"the host itself", "198.51.200.9:80", []string{"198.51.200.9:80"}, nil, work.NetRefused},
		{"the host itself by name", "a.example:80", []string{"a.example:80"}, []string{"198.51.200.9"}, work.NetRefused},
		{"the host itself by a route", "93.184.216.99:80", []string{"93.184.216.0/24:80"}, nil, work.NetRefused},
		{"an address in another notation", "2130706433:80", []string{"0.0.0.0/0:80"}, nil, work.NetBadAddress},
		{"an address with a zone", "[fe80::1%eth0]:80", []string{"[fe80::/10]:80"}, nil, work.NetBadAddress},
		{"no port", public, []string{public + ":80"}, nil, work.NetBadAddress},
		{"nothing", "", nil, nil, work.NetBadAddress},
		{"no such name", "a.example:80", []string{"a.example:80"}, nil, work.NetUnresolved},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOutside()
			o.own = []netip.Addr{netip.MustParseAddr("198.51.200.9"), netip.MustParseAddr("127.0.0.1")}
			o.routed = []netip.Addr{netip.MustParseAddr("93.184.216.99")}
			o.set("a.example", tt.resolves...)
			o.set("b.example", tt.resolves...)
			e := openLease(t, o, 1e6, tt.allow...)
			id, s := e.Dial(t.Context(), tt.to, time.Second)
			if s != tt.want || (id > 0) != (s == work.NetOK) {
				t.Errorf("flow %d, status %d, want %d", id, s, tt.want)
			}
			u := e.Usage()
			if (u.Denied == 1) != (tt.want == work.NetRefused) || (u.Flows == 1) != (tt.want == work.NetOK) {
				t.Errorf("usage %+v", u)
			}
			if tt.want != work.NetOK && len(o.dialed) > 0 {
				t.Errorf("connected to %v", o.dialed)
			}
		})
	}
}

// TestPinned: a name keeps the addresses that it had first: whoever answers otherwise later moves nobody.
func TestPinned(t *testing.T) {
	o := newOutside()
	o.set("a.example", "93.184.216.34")
	e := openLease(t, o, 1e6, "a.example:80", "a.example:81")
	e.mustDial(t, "a.example:80")
	for _, to := range []string{"127.0.0.1", "93.184.216.99"} {
		o.set("a.example", to)
		e.mustDial(t, "a.example:81")
	}
	o.set("a.example")
	e.mustDial(t, "a.example:80")
	for _, to := range o.dialed {
		if to.Addr() != netip.MustParseAddr("93.184.216.34") {
			t.Errorf("connected to %s", to)
		}
	}
}

// TestRate: whatever is sent and received takes the time that the rate says, each direction by itself
// and all flows of a direction together.
func TestRate(t *testing.T) {
	for _, rate := range []int64{8_000, 1_000_000, 20_000_000} {
		synctest.Test(t, func(t *testing.T) {
			o := newOutside()
			e := openLease(t, o, rate, "192.0.2.1:80")
			a, b := e.mustDial(t, "192.0.2.1:80"), e.mustDial(t, "192.0.2.1:80")
			var done sync.WaitGroup
			for range 2 {
				end := <-o.ends
				done.Go(func() { _, _ = io.Copy(io.Discard, end) })
				done.Go(func() {
					for {
						if _, err := end.Write(make([]byte, PieceMost)); err != nil {
							return
						}
					}
				})
			}
			const span = 2 * time.Second
			began := time.Now()
			var calls sync.WaitGroup
			for _, id := range []int32{a, b} {
				calls.Go(func() {
					for time.Since(began) < span {
						_, _ = e.Send(t.Context(), id, make([]byte, PieceMost), 100*time.Millisecond)
					}
				})
				calls.Go(func() {
					for time.Since(began) < span {
						_, _ = e.Recv(t.Context(), id, make([]byte, PieceMost), 100*time.Millisecond)
					}
				})
			}
			calls.Wait()
			took := time.Since(began).Seconds()
			for what, n := range map[string]int64{"out": e.Usage().BytesOut, "in": e.Usage().BytesIn} {
				if got := float64(n) * 8 / took; math.Abs(got/float64(rate)-1) > 0.05 {
					t.Errorf("%s: %.0f bits/s, the lease has %d", what, got, rate)
				}
			}
			e.Halt()
			done.Wait()
		})
	}
}

// TestFlood: calls beyond what a lease may make are held back, also those that cost nothing else and
// give themselves no time.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside()
		e := openLease(t, o, 1e9, "192.0.2.1:80")
		count := func(call func()) (n int) {
			for began := time.Now(); time.Since(began) < 10*time.Second; n++ {
				call()
			}
			return n
		}
		if n := count(func() { _, _ = e.Dial(t.Context(), "10.0.0.1:1", 0) }); n > 11*dialsMost+2 {
			t.Errorf("%d refused connections in 10 s", n)
		}
		if n := count(func() { _, _ = e.Send(t.Context(), 99, []byte("x"), 0) }); n > 10*callsMost+2*callBurst {
			t.Errorf("%d calls in 10 s", n)
		}
		if d := e.Usage().Denied; d > 11*dialsMost+2 || d == 0 {
			t.Errorf("%d denied", d)
		}
	})
}

// TestFlowsMost: a lease has so many flows, and one that is given back makes room.
func TestFlowsMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside()
		e := openLease(t, o, 1e9, "192.0.2.1:80")
		var ids []int32
		for range FlowsMost {
			ids = append(ids, e.mustDial(t, "192.0.2.1:80"))
		}
		if _, s := e.Dial(t.Context(), "192.0.2.1:80", time.Second); s != work.NetTooMany {
			t.Errorf("one more: %d", s)
		}
		if s := e.Hang(t.Context(), ids[3]); s != work.NetOK {
			t.Errorf("hang: %d", s)
		}
		synctest.Wait()
		if id := e.mustDial(t, "192.0.2.1:80"); slices.Contains(ids, id) {
			t.Errorf("flow %d has an old number", id)
		}
		for _, s := range []work.NetStatus{e.Hang(t.Context(), ids[3]), e.Hang(t.Context(), 0), e.Hang(t.Context(), -1), e.Hang(t.Context(), 1<<30)} {
			if s != work.NetBadFlow {
				t.Errorf("hang what is none: %d", s)
			}
		}
		if _, s := e.Recv(t.Context(), ids[3], make([]byte, 1), 0); s != work.NetBadFlow {
			t.Errorf("receive from what was ended: %d", s)
		}
	})
}

// TestWaits: a call takes no longer than it may, and says so.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside()
		e := openLease(t, o, 1e6, "192.0.2.1:80")
		id := e.mustDial(t, "192.0.2.1:80")
		end := <-o.ends
		for _, wait := range []time.Duration{0, time.Second} {
			began := time.Now()
			if n, s := e.Recv(t.Context(), id, make([]byte, 1), wait); n != 0 || s != work.NetTimeout || time.Since(began) > wait+2*leastWait {
				t.Errorf("receive nothing for %s: %d, %d after %s", wait, n, s, time.Since(began))
			}
			began = time.Now()
			if n, s := e.Send(t.Context(), id, make([]byte, 1), wait); n != 0 || s != work.NetTimeout || time.Since(began) > wait+2*leastWait {
				t.Errorf("send to nobody for %s: %d, %d after %s", wait, n, s, time.Since(began))
			}
		}
		go func() { _, _ = end.Write([]byte("hello")) }()
		synctest.Wait()
		p := make([]byte, 10)
		if n, s := e.Recv(t.Context(), id, p, 0); s != work.NetOK || string(p[:n]) != "hello" {
			t.Errorf("what is there: %q, %d", p[:n], s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, s := e.Recv(ctx, id, p, -1); s != work.NetTimeout {
			t.Errorf("called off: %d", s)
		}
		_ = end.Close()
		if n, s := e.Recv(t.Context(), id, p, -1); n != 0 || s != work.NetOK {
			t.Errorf("at the end: %d, %d", n, s)
		}
		o.dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		if _, s := e.Dial(t.Context(), "192.0.2.1:80", -1); s != work.NetTimeout || time.Since(began) != dialMost {
			t.Errorf("connect to nobody: %d after %s", s, time.Since(began))
		}
		e.extend(time.Since(e.start) + time.Second)
		began = time.Now()
		if _, s := e.Dial(t.Context(), "192.0.2.1:80", time.Minute); s != work.NetEnded || time.Since(began) != time.Second {
			t.Errorf("connect beyond the deadline: %d after %s", s, time.Since(began))
		}
	})
}

// TestRenewed: a call that may take as long as its lease goes on when the lease is renewed, and one with a time of its
// own takes that.
func TestRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside()
		e := openLease(t, o, 1e6, "192.0.2.1:80")
		id := e.mustDial(t, "192.0.2.1:80")
		for wait, took := range map[time.Duration]time.Duration{-1: 3 * time.Second, time.Hour: 3 * time.Second, 2 * time.Second: 2 * time.Second} {
			began := time.Now()
			e.extend(time.Since(e.start) + time.Second)
			renewal := time.AfterFunc(500*time.Millisecond, func() { e.extend(time.Since(e.start) + 2500*time.Millisecond) })
			want := work.NetEnded
			if took == wait {
				want = work.NetTimeout
			}
			_, s := e.Recv(t.Context(), id, make([]byte, 1), wait)
			if s != want || time.Since(began) < took || time.Since(began) > took+leastWait {
				t.Errorf("with %s: %d after %s, want %d after %s", wait, s, time.Since(began), want, took)
			}
			renewal.Stop()
		}
		e.extend(time.Hour)
	})
}

// TestHalt: with the end of the lease every flow is closed, whatever waits on it, and nothing goes
// through any more.
func TestHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside()
		e := openLease(t, o, 1e6, "192.0.2.1:80")
		id := e.mustDial(t, "192.0.2.1:80")
		idle := e.mustDial(t, "192.0.2.1:80")
		ends := []net.Conn{<-o.ends, <-o.ends}
		began := time.Now()
		var calls sync.WaitGroup
		calls.Go(func() {
			if _, s := e.Recv(t.Context(), id, make([]byte, 1), -1); s != work.NetRevoked {
				t.Errorf("receive: %d", s)
			}
		})
		calls.Go(func() {
			if _, s := e.Send(t.Context(), id, make([]byte, 1), -1); s != work.NetRevoked {
				t.Errorf("send: %d", s)
			}
		})
		late := make(chan net.Conn)
		o.dial = func(context.Context, netip.AddrPort) (net.Conn, error) { return <-late, nil }
		calls.Go(func() {
			if _, s := e.Dial(t.Context(), "192.0.2.1:80", -1); s != work.NetRevoked {
				t.Errorf("connect: %d", s)
			}
		})
		synctest.Wait()
		if e.Idle() {
			t.Error("it is idle with flows open")
		}
		ours, theirs := net.Pipe()
		late <- ours // it comes too late
		calls.Wait()
		for _, end := range append(ends, theirs) {
			if _, err := end.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("a flow is open: %v", err)
			}
		}
		if time.Since(began) > 0 {
			t.Errorf("it took %s", time.Since(began))
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, s := e.Send(t.Context(), idle, []byte("x"), -1); s != work.NetRevoked {
			t.Errorf("send after the end: %d", s)
		}
		e.extend(0)
		if _, s := e.Dial(t.Context(), "192.0.2.1:80", -1); s != work.NetEnded {
			t.Errorf("connect after the deadline: %d", s)
		}
		if !e.Idle() {
			t.Error("it is not idle")
		}
	})
}

// stubborn is a connection that does not close.
type stubborn struct {
	net.Conn
	fails int
	hangs chan struct{}
}

func (s *stubborn) Close() error {
	if s.hangs != nil {
		<-s.hangs
	}
	if s.fails--; s.fails >= 0 {
		return errors.New("input/output error")
	}
	return s.Conn.Close()
}

// TestStubborn: a flow that does not close is an error, and is closed by a further try that succeeds.
func TestStubborn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, hangs := range []bool{false, true} {
			o := newOutside()
			ours, _ := net.Pipe()
			bad := &stubborn{Conn: ours, fails: 1}
			if hangs {
				bad.fails, bad.hangs = 0, make(chan struct{})
			}
			o.dial = func(context.Context, netip.AddrPort) (net.Conn, error) { return bad, nil }
			e := openLease(t, o, 1e6, "192.0.2.1:80")
			e.mustDial(t, "192.0.2.1:80")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := e.Close(ctx); err == nil || !bytes.Contains([]byte(err.Error()), []byte("192.0.2.1:80 does not close")) {
				t.Errorf("close: %v", err)
			}
			if hangs {
				close(bad.hangs)
			}
			if err := e.Close(t.Context()); err != nil {
				t.Errorf("close again: %v", err)
			}
		}
	})
}
