package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/grafos/grafos/cellagent/work"
)

// flow is one connection. Its fields are guarded by Egress.mu.
type flow struct {
	to      netip.AddrPort
	conn    net.Conn // nil while it is being made
	hung    bool     // the guest has ended it
	closing bool     // somebody closes it
	err     error    // why closing it failed
}

// why says what keeps a flow from closing. Egress.mu is held.
func (f *flow) why() error {
	if f.err != nil {
		return f.err
	}
	return errors.New("it takes too long")
}

// Dial connects to HOST:PORT.
func (e *Egress) Dial(ctx context.Context, address string, wait time.Duration) (int32, work.NetStatus) {
	if s := e.admit(ctx, e.calls, e.dials); s != work.NetOK {
		return 0, s
	}
	ctx, cancel := e.bounded(ctx, wait)
	defer cancel()
	addrs, s := e.resolve(ctx, address)
	if s != work.NetOK {
		return 0, s
	}
	id, f, s := e.reserve()
	if s != work.NetOK {
		return 0, s
	}
	conn, to, s := e.connect(ctx, addrs)
	if s != work.NetOK {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.drop(id)
		return 0, s
	}
	_ = hurry(conn, e.left()) // of one that is closed by now nothing is sent
	e.mu.Lock()
	f.conn, f.to = conn, to
	halted := e.halted
	f.closing = halted
	e.mu.Unlock()
	if halted {
		e.cut(id, f)
		return 0, e.gone()
	}
	e.made.Add(1)
	return id, work.NetOK
}

// reserve takes a place among the flows.
func (e *Egress) reserve() (int32, *flow, work.NetStatus) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.halted:
		return 0, nil, e.gone()
	case len(e.flows) >= FlowsMost:
		return 0, nil, work.NetTooMany
	}
	if e.flows == nil {
		e.flows = map[int32]*flow{}
	}
	for taken := true; taken; _, taken = e.flows[e.last] { // a number is used again after all others
		e.last = max(e.last+1, 1)
	}
	f := &flow{}
	e.flows[e.last] = f
	return e.last, f, work.NetOK
}

// connect tries one address after the other.
func (e *Egress) connect(ctx context.Context, addrs []netip.AddrPort) (net.Conn, netip.AddrPort, work.NetStatus) {
	ctx, cancel := context.WithTimeout(ctx, dialMost)
	defer cancel()
	for i, to := range addrs {
		// One that does not answer leaves the others their share of the time.
		end, _ := ctx.Deadline()
		one, done := context.WithTimeout(ctx, time.Until(end)/time.Duration(len(addrs)-i))
		conn, err := e.system.Dial(one, to, e.buffer)
		late := one.Err() != nil
		done()
		switch {
		case err == nil:
			return conn, to, work.NetOK
		case ctx.Err() != nil, late && i == len(addrs)-1:
			return nil, to, e.gone()
		}
	}
	return nil, netip.AddrPort{}, work.NetUnreachable
}

// find returns the connection of a flow that the guest may use.
func (e *Egress) find(id int32) (net.Conn, work.NetStatus) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.halted {
		return nil, e.gone()
	}
	f, ok := e.flows[id]
	if !ok || f.conn == nil || f.hung {
		return nil, work.NetBadFlow
	}
	return f.conn, work.NetOK
}

// Send hands some of p to the kernel.
func (e *Egress) Send(ctx context.Context, id int32, p []byte, wait time.Duration) (int, work.NetStatus) {
	n, s := e.move(ctx, id, len(p), wait, e.out, func(conn net.Conn, n int, until time.Time) (int, error) {
		if err := hurry(conn, e.left()); err != nil {
			return 0, err
		}
		_ = conn.SetWriteDeadline(until) // of a closed one writing says so
		return conn.Write(p[:n])
	})
	e.bytesOut.Add(int64(n))
	return n, s
}

// Recv takes some of what has arrived into p; nothing is that the other side has ended.
func (e *Egress) Recv(ctx context.Context, id int32, p []byte, wait time.Duration) (int, work.NetStatus) {
	n, s := e.move(ctx, id, len(p), wait, e.in, func(conn net.Conn, n int, until time.Time) (int, error) {
		_ = conn.SetReadDeadline(until) // of a closed one reading says so
		got, err := conn.Read(p[:n])
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return got, err
	})
	e.bytesIn.Add(int64(n))
	return n, s
}

// leastWait is what a call that is not to wait waits: a connection looks for nothing in no time.
const leastWait = time.Millisecond

// transfer is what a move does with its connection: up to so many bytes, until a time.
type transfer func(conn net.Conn, n int, until time.Time) (int, error)

// move does one operation of up to n bytes, as many as the rate allows. A lease that is renewed meanwhile
// gives it the time that it has then.
func (e *Egress) move(ctx context.Context, id int32, n int, wait time.Duration, p *pace, do transfer) (int, work.NetStatus) {
	if s := e.admit(ctx, e.calls); s != work.NetOK {
		return 0, s
	}
	began := time.Now()
	for {
		left := wait
		if wait >= 0 {
			left = max(wait-time.Since(began), leastWait)
		}
		moved, s := e.moveOnce(ctx, id, n, left, p, do)
		over := wait >= 0 && time.Since(began) >= wait
		if s != work.NetTimeout || over || ctx.Err() != nil {
			return moved, s
		}
	}
}

// moveOnce is move, until the lease ends as it ends now.
func (e *Egress) moveOnce(ctx context.Context, id int32, n int, wait time.Duration, p *pace, do transfer) (int, work.NetStatus) {
	ctx, cancel := e.bounded(ctx, wait)
	defer cancel()
	conn, s := e.find(id)
	if s != work.NetOK || n == 0 {
		return 0, s
	}
	may := p.await(ctx, int64(min(n, PieceMost)))
	if may == 0 {
		return 0, e.gone()
	}
	// Whoever is called off does not stay in the kernel.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	until, _ := ctx.Deadline()
	moved, err := do(conn, int(may), until)
	p.back(may - int64(moved))
	switch {
	case moved > 0 || err == nil:
		return moved, work.NetOK
	case e.over.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return 0, e.gone()
	case errors.Is(err, net.ErrClosed):
		return 0, work.NetBadFlow
	}
	return 0, work.NetReset
}

// Hang ends a flow for the guest. It returns when what was sent is delivered, or has had its time: a
// guest that ends behind it loses nothing.
func (e *Egress) Hang(ctx context.Context, id int32) work.NetStatus {
	if s := e.admit(ctx, e.calls); s != work.NetOK {
		return s
	}
	ctx, cancel := e.bounded(ctx, -1)
	defer cancel()
	f, s := e.leave(id)
	if s != work.NetOK {
		return s
	}
	deliver(ctx, f.conn)
	e.mu.Lock()
	if f.closing { // by Halt
		e.mu.Unlock()
		return work.NetOK
	}
	f.closing = true
	e.mu.Unlock()
	e.cut(id, f)
	return work.NetOK
}

// leave takes a flow away from the guest.
func (e *Egress) leave(id int32) (*flow, work.NetStatus) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f, ok := e.flows[id]
	switch {
	case e.halted:
		return nil, e.gone()
	case !ok || f.conn == nil || f.hung:
		return nil, work.NetBadFlow
	}
	f.hung = true
	return f, work.NetOK
}

// Renewed tells the kernel of every flow how long the lease lasts now: what it was told before would cut
// off one on which nothing is sent meanwhile.
func (e *Egress) Renewed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.flows {
		if f.conn != nil && !f.closing {
			_ = hurry(f.conn, e.left()) // of one that is closed by now nothing is sent
		}
	}
}
