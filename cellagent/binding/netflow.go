package binding

import (
	"context"
	"math"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/egress"
	"github.com/grafos/grafos/cellagent/work"
)

// openFlows makes the network of a net lease for a run. A net lease without a run is a reservation: nobody is
// there who could use it.
func (b *bound) openFlows(l api.Lease) error {
	var allow []string
	if l.Terms != nil {
		allow = l.Terms.Egress
	}
	now := b.host.now
	if now == nil {
		now = func() int64 { return 0 }
	}
	var err error
	b.flows, err = egress.Open(egress.Options{Rate: b.amount, Allow: allow, Now: now, Left: b.left, System: b.host.outer()})
	return err
}

// left is how long the lease lasts.
func (b *bound) left() time.Duration {
	deadline := b.deadline.Load()
	if deadline == 0 || b.host.now == nil {
		return math.MaxInt64
	}
	return time.Duration(deadline - b.host.now())
}

// Halt closes what a net lease has open, at once and without waiting; Close still has to be called.
func (b *bound) Halt() {
	if b.flows != nil {
		b.flows.Halt()
	}
}

// Net is the network that a run has under the lease; nil is that it has none.
func (b *bound) Net() work.Net {
	if b.flows == nil {
		return nil
	}
	return network{b}
}

// network makes the calls of a guest inside the gate, as ReadAt and WriteAt are: a teardown waits for
// them, and nothing is given on that was had too late.
type network struct{ b *bound }

// Dial connects.
func (n network) Dial(ctx context.Context, address string, wait time.Duration) (flow int32, s work.NetStatus) {
	s = n.inside(func() work.NetStatus {
		flow, s = n.b.flows.Dial(ctx, address, wait)
		if s == work.NetRefused && n.b.host.faults.takes(work.FaultAnywhere, n.b.kind) {
			flow, s = 1, n.anywhere(ctx, address, wait)
		}
		return s
	})
	return flow, s
}

// Send sends.
func (n network) Send(ctx context.Context, flow int32, p []byte, wait time.Duration) (sent int, s work.NetStatus) {
	s = n.inside(func() work.NetStatus {
		sent, s = n.b.flows.Send(ctx, flow, p, wait)
		return s
	})
	return sent, s
}

// Recv receives.
func (n network) Recv(ctx context.Context, flow int32, p []byte, wait time.Duration) (got int, s work.NetStatus) {
	s = n.inside(func() work.NetStatus {
		got, s = n.b.flows.Recv(ctx, flow, p, wait)
		return s
	})
	return got, s
}

// Hang ends a flow.
func (n network) Hang(ctx context.Context, flow int32) work.NetStatus {
	return n.inside(func() work.NetStatus { return n.b.flows.Hang(ctx, flow) })
}

// Usage is what went through.
func (n network) Usage() api.NetUsage { return n.b.flows.Usage() }

func (n network) inside(do func() work.NetStatus) work.NetStatus {
	if !n.b.gate.enter() {
		return work.NetRevoked
	}
	defer n.b.gate.leave()
	if n.b.late() != nil {
		return work.NetEnded
	}
	s := do()
	if n.b.late() != nil {
		return work.NetEnded
	}
	return s
}
