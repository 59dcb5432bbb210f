package binding

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/egress"
	"github.com/grafos/grafos/cellagent/work"
)

// clinging is a connection that does not close so often.
type clinging struct {
	net.Conn
	left int
}

func (c *clinging) Close() error {
	if c.left--; c.left >= 0 {
		return errors.New("input/output error")
	}
	return c.Conn.Close()
}

// slow is a connection on which reading takes as long as the lease.
type slow struct {
	net.Conn
	now *int64
}

func (s *slow) Read(p []byte) (int, error) {
	*s.now = int64(time.Minute)
	return copy(p, "hello"), nil
}

// netHost binds net leases whose connections end here, and fail to close so often.
func netHost(t *testing.T, now *int64, fails int) (*Host, chan net.Conn) {
	t.Helper()
	ends := make(chan net.Conn, 8)
	h, err := Open(Options{
		Dir: t.TempDir(), Capacity: api.Resources{Net: 1000_000}, Log: hclog.NewNullLogger(), CloseBound: 200 * time.Millisecond,
		Now: func() int64 { return *now },
		Outside: egress.System{Dial: func(context.Context, netip.AddrPort, int) (net.Conn, error) {
			ours, theirs := net.Pipe()
			ends <- theirs
			return &clinging{ours, fails}, nil
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, ends
}

func netLease(id api.LeaseID, run api.RunID, allow ...string) api.Lease {
	return api.Lease{ID: id, RunID: run, Tenant: "acme", Kind: api.KindNet, Amount: 500_000, Terms: &api.Terms{Egress: allow}}
}

// networkOf is what a run has of a binding.
func networkOf(t *testing.T, b Binding) work.Net {
	t.Helper()
	f, ok := b.(interface{ Net() work.Net })
	if !ok {
		t.Fatalf("%T has no flows", b)
	}
	return f.Net()
}

// TestNetBinding: a net lease of a run has a network until its deadline, or until it is closed, whatever comes first;
// its amount is given back when its flows are gone.
func TestNetBinding(t *testing.T) {
	for _, closed := range []bool{false, true} {
		now := int64(1)
		h, ends := netHost(t, &now, 0)
		b, err := h.Bind(netLease("l1", "r1", "192.0.2.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		b.Until(int64(time.Minute))
		n := networkOf(t, b)
		flow, s := n.Dial(t.Context(), "192.0.2.1:80", time.Second)
		if s != work.NetOK {
			t.Fatalf("dial: %d", s)
		}
		if _, s := n.Dial(t.Context(), "192.0.2.2:80", time.Second); s != work.NetRefused {
			t.Errorf("dial another: %d", s)
		}
		end := <-ends
		go func() { _, _ = end.Write([]byte("hello")) }()
		p := make([]byte, 5)
		if got, s := n.Recv(t.Context(), flow, p, time.Second); s != work.NetOK || got == 0 {
			t.Errorf("receive: %d, %d", got, s)
		}
		if b.Size() != 0 {
			t.Errorf("it has %d bytes", b.Size())
		}
		want := work.NetEnded
		if closed {
			if b.CloseNow() {
				t.Error("an open flow was no wait")
			}
			if err := b.Close(t.Context()); err != nil {
				t.Error(err)
			}
			want = work.NetRevoked
		} else {
			now = int64(time.Minute)
		}
		for what, s := range map[string]work.NetStatus{
			"dial": second(n.Dial(t.Context(), "192.0.2.1:80", 0)), "send": second(n.Send(t.Context(), flow, p, 0)),
			"recv": second(n.Recv(t.Context(), flow, p, 0)), "hang": n.Hang(t.Context(), flow),
		} {
			if s != want {
				t.Errorf("closed %v: %s: %d, want %d", closed, what, s, want)
			}
		}
		if u := n.Usage(); u.Flows != 1 || u.Denied != 1 || u.BytesIn == 0 {
			t.Errorf("usage %+v", u)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if free := h.Free().Net; free != 1000_000 {
			t.Errorf("%d are free", free)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

func second[T any](_ T, s work.NetStatus) work.NetStatus { return s }

// TestLateBytes: what was received, or connected, when the lease had ended meanwhile is not given on.
func TestLateBytes(t *testing.T) {
	now := int64(1)
	h, _ := netHost(t, &now, 0)
	h.outside.Dial = func(context.Context, netip.AddrPort, int) (net.Conn, error) {
		ours, _ := net.Pipe()
		return &slow{ours, &now}, nil
	}
	b, err := h.Bind(netLease("l1", "r1", "192.0.2.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	b.Until(int64(time.Minute))
	n := networkOf(t, b)
	flow, s := n.Dial(t.Context(), "192.0.2.1:80", time.Second)
	if s != work.NetOK {
		t.Fatalf("dial: %d", s)
	}
	if _, s := n.Recv(t.Context(), flow, make([]byte, 5), time.Second); s != work.NetEnded {
		t.Errorf("receive: %d", s)
	}
	if err := errors.Join(b.Close(t.Context()), h.Close()); err != nil {
		t.Error(err)
	}
}

// TestFlowThatStays: a flow that does not close fences the lease; its amount comes back when it is unfenced and closes.
func TestFlowThatStays(t *testing.T) {
	now := int64(1)
	h, _ := netHost(t, &now, 2)
	b, err := h.Bind(netLease("l1", "r1", "192.0.2.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	if _, s := networkOf(t, b).Dial(t.Context(), "192.0.2.1:80", time.Second); s != work.NetOK {
		t.Fatalf("dial: %d", s)
	}
	if err := b.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "192.0.2.1:80 does not close: input/output error") {
		t.Errorf("close: %v", err)
	}
	if free := h.Free().Net; free != 500_000 {
		t.Errorf("%d are free beside the fence", free)
	}
	if err := h.Unfence(t.Context(), "l1"); err == nil {
		t.Error("unfenced, although it does not close yet")
	}
	if err := h.Unfence(t.Context(), "l1"); err != nil || h.Free().Net != 1000_000 {
		t.Errorf("unfence: %v, %d are free", err, h.Free().Net)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// TestReservedNet: a net lease without a run is a reservation, and one whose list cannot be read is not bound.
func TestReservedNet(t *testing.T) {
	now := int64(1)
	h, _ := netHost(t, &now, 0)
	b, err := h.Bind(netLease("l1", "", "192.0.2.1:80"))
	if err != nil || networkOf(t, b) != nil {
		t.Errorf("a reservation has a network: %v", err)
	}
	if !b.CloseNow() {
		t.Error("its end is a wait")
	}
	if _, err := h.Bind(netLease("l2", "r1", "nonsense")); err == nil || h.Free().Net != 1000_000 {
		t.Errorf("a list that cannot be read: %v, %d are free", err, h.Free().Net)
	}
	b, err = h.Bind(netLease("l3", "r1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, s := networkOf(t, b).Dial(t.Context(), "192.0.2.1:80", 0); s != work.NetRefused {
		t.Errorf("without a list: %d", s)
	}
	if err := errors.Join(b.Close(t.Context()), h.Close()); err != nil {
		t.Error(err)
	}
}
