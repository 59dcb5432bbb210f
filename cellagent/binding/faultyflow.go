package binding

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/egress"
	"github.com/grafos/grafos/cellagent/work"
)

// outer is where flows of net leases go; a cell that keeps them has them there too.
func (h *Host) outer() egress.System {
	if !h.faults.takes(work.FaultKeepsFlows, api.KindNet) {
		return h.outside
	}
	s := h.outside.OrHost()
	dial := s.Dial
	s.Dial = func(ctx context.Context, to netip.AddrPort, buffer int) (net.Conn, error) {
		conn, err := dial(ctx, to, buffer)
		if err != nil {
			return nil, err
		}
		h.faults.keep(conn)
		return kept{conn}, nil
	}
	return s
}

// kept is a connection that does not close.
type kept struct{ net.Conn }

// Close leaves it open.
func (kept) Close() error { return nil }

// keep holds a connection for as long as this process lives.
func (f *Faults) keep(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = append(f.open, conn)
}

// anywhere connects where the list refuses to, for a cell that does not look at it.
func (n network) anywhere(ctx context.Context, address string, wait time.Duration) work.NetStatus {
	e, err := egress.Open(egress.Options{Rate: n.b.amount, Allow: []string{address}, Now: n.b.host.now, Left: n.b.left, System: n.b.host.outside})
	if err != nil {
		return work.NetBadAddress
	}
	_, s := e.Dial(ctx, address, wait)
	if err := e.Close(ctx); err != nil {
		return work.NetReset
	}
	return s
}
