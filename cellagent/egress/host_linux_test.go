package egress

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/cellagent/work"
)

// openReal is a lease of a minute over the host's own network, and a server that nobody has connected to yet.
func openReal(t *testing.T) (*Egress, net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	e, err := Open(Options{
		Rate: 1e9, Allow: []string{l.Addr().String()},
		Now: func() int64 { return time.Since(start).Nanoseconds() }, Left: func() time.Duration { return time.Minute - time.Since(start) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
		_ = l.Close()
	})
	return e, l
}

// meet connects both ends.
func meet(t *testing.T, e *Egress, l net.Listener) (int32, net.Conn) {
	t.Helper()
	id, s := e.Dial(t.Context(), l.Addr().String(), 10*time.Second)
	if s != work.NetOK {
		t.Fatalf("dial: %d", s)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return id, conn
}

// TestCutOff: what the kernel holds of a flow when the lease ends is not sent any more.
func TestCutOff(t *testing.T) {
	e, l := openReal(t)
	id, conn := meet(t, e, l)
	sent := 0
	for { // until the other side, which does not read, holds all that it may, and so does our kernel
		n, s := e.Send(t.Context(), id, make([]byte, PieceMost), 200*time.Millisecond)
		if sent += n; s != work.NetOK {
			break
		}
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := io.Copy(io.Discard, conn)
	if err == nil || got >= int64(sent) {
		t.Errorf("%d of %d bytes came after all: %v", got, sent, err)
	}
	t.Logf("%d of %d bytes came: %v", got, sent, err)
}

// TestDelivered: what was sent on a flow that the guest ends is delivered, also where the lease ends right
// behind it, and the flow is gone then.
func TestDelivered(t *testing.T) {
	e, l := openReal(t)
	id, conn := meet(t, e, l)
	type arrived struct {
		n   int64
		err error
	}
	came := make(chan arrived, 1)
	go func() {
		time.Sleep(50 * time.Millisecond) // what was sent waits in the kernel meanwhile
		n, err := io.Copy(io.Discard, conn)
		came <- arrived{n, err}
	}()
	sent := 0
	for sent < 200_000 {
		n, s := e.Send(t.Context(), id, make([]byte, PieceMost), time.Second)
		if s != work.NetOK {
			t.Fatalf("send: %d", s)
		}
		sent += n
	}
	if s := e.Hang(t.Context(), id); s != work.NetOK {
		t.Fatalf("hang: %d", s)
	}
	e.mu.Lock()
	left := len(e.flows)
	e.mu.Unlock()
	if err := e.Close(t.Context()); err != nil || left != 0 {
		t.Errorf("%d flows stay: %v", left, err)
	}
	if got := <-came; got.err != nil || got.n != int64(sent) {
		t.Errorf("%d of %d bytes came: %v", got.n, sent, got.err)
	}
}

// TestRenewedFlowHasTime: what the kernel was told of a lease's end is not kept to when that comes later, also
// where nothing is sent any more.
func TestRenewedFlowHasTime(t *testing.T) {
	e, l := openReal(t)
	left := time.Second
	e.left = func() time.Duration { return left }
	id, _ := meet(t, e, l)
	conn, _ := e.find(id)
	timeout := func() (ms int) {
		raw, ok := socketOf(conn)
		if !ok {
			t.Fatalf("%T has no socket", conn)
		}
		err := control(raw, func(fd int) (err error) {
			ms, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	if ms := timeout(); ms != 1000 {
		t.Errorf("a new flow has %d ms", ms)
	}
	left = time.Minute
	e.Renewed()
	if ms := timeout(); ms != 60_000 {
		t.Errorf("after a renewal it has %d ms", ms)
	}
}

// TestOwnByRoute: an address that is on no interface, and to which the host's routes lead all the same, is its own.
func TestOwnByRoute(t *testing.T) {
	runtime.LockOSThread() // never let go of: the thread ends with this goroutine, and its network with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network of its own: %v", err)
	}
	for _, args := range []string{"link set lo up", "route add local 93.184.216.34/32 dev lo", "route add 93.184.217.0/24 dev lo"} {
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", args, err, out)
		}
	}
	own, err := ownAddresses()
	if err != nil || slices.Contains(own, netip.MustParseAddr("93.184.216.34")) {
		t.Fatalf("on an interface are %v, %v", own, err)
	}
	if !routedHere(netip.MustParseAddrPort("93.184.216.34:80")) {
		t.Error("it is not found")
	}
	if routedHere(netip.MustParseAddrPort("93.184.217.1:80")) || routedHere(netip.MustParseAddrPort("1.1.1.1:80")) {
		t.Error("an address of somebody else is this host's own")
	}
}

// TestKernelKeepsTime: the kernel knows how long the lease lasts, should this process stand still, and holds no more of
// a flow than it may.
func TestKernelKeepsTime(t *testing.T) {
	e, l := openReal(t)
	id, _ := meet(t, e, l)
	if _, s := e.Send(t.Context(), id, []byte("x"), time.Second); s != work.NetOK {
		t.Fatalf("send: %d", s)
	}
	conn, _ := e.find(id)
	raw, ok := socketOf(conn)
	if !ok {
		t.Fatalf("%T has no socket", conn)
	}
	values := map[string]int{}
	err := control(raw, func(fd int) error {
		for name, o := range map[string][2]int{
			"timeout": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}, "send": {unix.SOL_SOCKET, unix.SO_SNDBUF}, "receive": {unix.SOL_SOCKET, unix.SO_RCVBUF},
		} {
			v, err := unix.GetsockoptInt(fd, o[0], o[1])
			if err != nil {
				return err
			}
			values[name] = v
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if ms := values["timeout"]; ms > 60_000 || ms < 30_000 {
		t.Errorf("the kernel gives the other side %d ms", ms)
	}
	for _, what := range []string{"send", "receive"} { // Linux counts what it needs itself in, and doubles
		if v := values[what]; v > 2*e.buffer || v < 16<<10 {
			t.Errorf("the kernel holds %d bytes to %s", v, what)
		}
	}
}
