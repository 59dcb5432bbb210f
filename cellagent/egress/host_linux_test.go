package egress

import (
	"context"
	"io"
	"net"
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

// TestDelivered: what was sent on a flow that the guest ends is delivered, and the flow is gone then.
func TestDelivered(t *testing.T) {
	e, l := openReal(t)
	id, conn := meet(t, e, l)
	sent := 0
	for sent < 200_000 {
		n, s := e.Send(t.Context(), id, make([]byte, PieceMost), time.Second)
		if s != work.NetOK {
			t.Fatalf("send: %d", s)
		}
		sent += n
	}
	if s := e.Hang(id); s != work.NetOK {
		t.Fatalf("hang: %d", s)
	}
	if got, err := io.Copy(io.Discard, conn); err != nil || got != int64(sent) {
		t.Errorf("%d of %d bytes came: %v", got, sent, err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		e.mu.Lock()
		n := len(e.flows)
		e.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the flow stays")
		}
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
