package binding

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/egress"
	"github.com/grafos/grafos/cellagent/work"
)

// TestFaultyFlows: where that was asked for, and only there, a connection stays open behind its lease, and one is made
// that the list does not allow.
func TestFaultyFlows(t *testing.T) {
	for faults, want := range map[string]struct {
		elsewhere work.NetStatus
		open      bool
	}{"keeps-flows:net": {work.NetRefused, true}, "connects-anywhere:net": {work.NetOK, false}, "bind-fails:mem": {work.NetRefused, false}} {
		f, err := ParseFaults(faults)
		if err != nil {
			t.Fatal(err)
		}
		ends := make(chan net.Conn, 8)
		h, err := Open(Options{
			Dir: t.TempDir(), Capacity: api.Resources{Net: 1000_000}, Log: hclog.NewNullLogger(), Now: func() int64 { return 1 }, Faults: f,
			Outside: egress.System{Dial: func(context.Context, netip.AddrPort, int) (net.Conn, error) {
				ours, theirs := net.Pipe()
				ends <- theirs
				return ours, nil
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		b, err := h.Bind(netLease("l1", "r1", "192.0.2.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		b.Until(int64(time.Minute))
		n := networkOf(t, b)
		if _, s := n.Dial(t.Context(), "192.0.2.1:80", time.Second); s != work.NetOK {
			t.Fatalf("%s: dial: %d", faults, s)
		}
		end := <-ends
		if _, s := n.Dial(t.Context(), "192.0.2.2:80", time.Second); s != want.elsewhere {
			t.Errorf("%s: dial elsewhere: %d", faults, s)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Errorf("%s: %v", faults, err)
		}
		_ = end.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := end.Read(make([]byte, 1)); (err != io.EOF) != want.open { //nolint:errorlint // a pipe says it so
			t.Errorf("%s: behind the lease: %v", faults, err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}
