package egress

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// Bounds of one lease.
const (
	FlowsMost = 64   // that are open, being made or being ended
	dialsMost = 64   // connections that are asked for in a second, refused ones too
	callsMost = 4096 // calls a second
	callBurst = 256
	// PieceMost is the most bytes of one send or receive.
	PieceMost = 60 << 10
	// burst is for how long a lease may be faster than its rate, when it was slower before.
	burst = 50 * time.Millisecond
	// dialMost bounds one connection, lookupMost one question for a name's addresses.
	dialMost   = 10 * time.Second
	lookupMost = 5 * time.Second
	// lingerMost is for how long a flow that the guest ended still delivers what was sent on it.
	lingerMost = 2 * time.Second
)

// System is the outside. A field that is nil is this host's.
type System struct {
	Dial   func(ctx context.Context, to netip.AddrPort, buffer int) (net.Conn, error)
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	// Own lists the host's addresses.
	Own func() ([]netip.Addr, error)
	// Local reports whether the host's routes lead to an address on the host itself.
	Local func(to netip.AddrPort) bool
}

// Options say what one lease allows.
type Options struct {
	Rate  int64    // bits a second, in each direction
	Allow []string // as api.ParseEgressList reads it
	// Now is CLOCK_BOOTTIME, Left how long the lease lasts; nil is for ever.
	Now    func() int64
	Left   func() time.Duration
	System System
}

// Egress is the flows of one lease. It is safe for concurrent use. Nothing goes through it after Halt.
type Egress struct {
	rules    []api.EgressRule
	left     func() time.Duration
	system   System
	buffer   int   // bytes that the kernel holds of a flow, in each direction
	out, in  *pace // bytes
	calls    *pace
	dials    *pace
	bytesOut atomic.Int64
	bytesIn  atomic.Int64
	made     atomic.Int64
	denied   atomic.Int64
	over     context.Context //nolint:containedctx // it is the life of all flows, and ends with Halt
	halt     context.CancelFunc

	mu     sync.Mutex
	halted bool
	last   int32
	flows  map[int32]*flow
	pins   map[string][]netip.Addr
	quiet  chan struct{} // closed when no flow is left after Halt; nil until somebody waits
}

// Open makes the network of a lease. Nothing is connected yet.
func Open(o Options) (*Egress, error) {
	rules, err := api.ParseEgressList(o.Allow)
	if err != nil {
		return nil, err
	}
	if o.Left == nil {
		o.Left = func() time.Duration { return math.MaxInt64 }
	}
	rate := float64(max(o.Rate, 1)) / 8
	most := int64(rate * burst.Seconds())
	e := &Egress{
		rules: rules, left: o.Left, system: o.System.OrHost(),
		// What the kernel holds is for a tenth of a second, and for windows that are worth a packet.
		buffer: int(min(max(o.Rate/80, 16<<10), 256<<10)),
		out:    newPace(o.Now, rate, most), in: newPace(o.Now, rate, most),
		calls: newPace(o.Now, callsMost, callBurst), dials: newPace(o.Now, dialsMost, dialsMost),
	}
	e.over, e.halt = context.WithCancel(context.Background())
	return e, nil
}

// Usage is what went through so far.
func (e *Egress) Usage() api.NetUsage {
	return api.NetUsage{BytesOut: e.bytesOut.Load(), BytesIn: e.bytesIn.Load(), Flows: e.made.Load(), Denied: e.denied.Load()}
}

// Idle reports whether no flow is there, so that Close waits for nothing. Nothing is let in any more.
func (e *Egress) Idle() bool {
	e.Halt()
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.flows) == 0
}

// Halt closes every flow and lets none be made any more. It does not wait.
func (e *Egress) Halt() {
	e.halt()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.halted = true
	for id, f := range e.flows {
		if f.conn != nil && !f.closing {
			f.closing = true
			go e.cut(id, f) // Close waits for it, as long as it may
		}
	}
}

// Close halts, and returns when no flow is left. Where one does not close until ctx ends, that is the
// error; a further Close tries again.
func (e *Egress) Close(ctx context.Context) error {
	e.Halt()
	e.mu.Lock()
	if len(e.flows) == 0 {
		e.mu.Unlock()
		return nil
	}
	if e.quiet == nil {
		e.quiet = make(chan struct{})
	}
	quiet := e.quiet
	e.mu.Unlock()
	select {
	case <-quiet:
		return nil
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, f := range e.flows {
		errs = append(errs, fmt.Errorf("the flow to %s does not close: %w", f.to, f.why()))
	}
	return errors.Join(errs...)
}

// cut closes a connection, and forgets its flow where that went well.
func (e *Egress) cut(id int32, f *flow) {
	err := f.conn.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	f.closing, f.err = false, err
	if err == nil {
		e.drop(id)
	}
}

// drop forgets a flow. mu is held.
func (e *Egress) drop(id int32) {
	delete(e.flows, id)
	if len(e.flows) == 0 && e.halted && e.quiet != nil {
		close(e.quiet)
		e.quiet = nil
	}
}

// bounded returns a context that ends with the flows, and after wait or with the lease, whatever is
// first.
func (e *Egress) bounded(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	if left := e.left(); wait < 0 || wait > left {
		wait = left
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	stop := context.AfterFunc(e.over, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// admit holds a call back while its lease has made too many, however little time the guest gives it.
func (e *Egress) admit(ctx context.Context, paces ...*pace) work.NetStatus {
	ctx, cancel := e.bounded(ctx, -1)
	defer cancel()
	for _, p := range paces {
		if p.await(ctx, 1) == 0 {
			return e.gone()
		}
	}
	return work.NetOK
}

// gone says why a call was cut off that had not failed by itself.
func (e *Egress) gone() work.NetStatus {
	switch {
	case e.left() <= 0:
		return work.NetEnded
	case e.over.Err() != nil:
		return work.NetRevoked
	}
	return work.NetTimeout
}
