package conformance

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/grafos/grafos/api/clock"
)

// wire is what a run on the cell connects to: a listener on this scheduler's host that answers whoever says
// its secret, and knows until when something came. It lives as long as one check.
type wire struct {
	addr           string
	secret, answer string
	clock          clock.Clock
	listener       net.Listener
	stop           context.CancelFunc
	all            sync.WaitGroup

	mu   sync.Mutex
	open int
	// crowded is that somebody was sent away, who was perhaps the cell.
	crowded bool
	met     *meeting
	came    chan struct{} // closed with the meeting
}

// meeting is the connection of somebody who knew the secret. began does not change; the others are guarded by
// wire.mu until over is closed.
type meeting struct {
	began, last, ended time.Time
	over               chan struct{}
}

const (
	// wireMost bounds the connections of a wire, wireLook the question for this host's address.
	wireMost = 64
	wireLook = 2 * time.Second
)

// listen opens a wire at the address under which the cells know this scheduler. Its host may not have that
// address itself, behind a gateway for example: nothing can be said of the cell then.
func (s *suite) listen(ctx context.Context) (*wire, error) {
	addrs, err := s.own(ctx)
	if err != nil {
		return nil, skipped("this scheduler's address " + s.Host + " is not found: " + err.Error())
	}
	for _, addr := range addrs {
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(addr, 0).String()); err == nil {
			return s.answerAt(ctx, l), nil
		}
	}
	return nil, skipped(fmt.Sprintf("nothing can listen for the cell at this scheduler's address %s: %v", s.Host, err))
}

// answerAt begins to answer at a listener.
func (s *suite) answerAt(ctx context.Context, l net.Listener) *wire {
	w := &wire{addr: l.Addr().String(), secret: rand.Text(), answer: "heard " + rand.Text(), clock: s.Clock, listener: l, came: make(chan struct{})}
	ctx, w.stop = context.WithCancel(ctx)
	w.all.Go(func() { w.accept(ctx) })
	return w
}

// own is this scheduler's addresses.
func (s *suite) own(ctx context.Context) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(s.Host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, wireLook)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.Host)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("the name has no address")
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, err
}

// close ends a wire and all of its connections.
func (w *wire) close() {
	w.stop()
	_ = w.listener.Close() // it is closed already where accept has failed
	w.all.Wait()
}

func (w *wire) accept(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { _ = w.listener.Close() })()
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		if !w.enter() {
			_ = conn.Close()
			continue
		}
		w.all.Go(func() {
			defer w.leave()
			w.serve(ctx, conn)
		})
	}
}

func (w *wire) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open >= wireMost {
		w.crowded = true
		return false
	}
	w.open++
	return true
}

func (w *wire) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open--
}

// serve answers the secret, once, and reads until the connection is over.
func (w *wire) serve(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }() // nobody waits for what is left
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	said := make([]byte, len(w.secret))
	if _, err := io.ReadFull(conn, said); err != nil || string(said) != w.secret {
		return
	}
	m := w.meet()
	if m == nil {
		return
	}
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		m.ended = w.clock.Now()
		close(m.over)
	}()
	if _, err := io.WriteString(conn, w.answer); err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok && tcp.CloseWrite() != nil {
		return
	}
	for p := make([]byte, 4096); ; {
		n, err := conn.Read(p)
		if n > 0 {
			w.mu.Lock()
			m.last = w.clock.Now()
			w.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// meet begins the one meeting; nil is that there was one.
func (w *wire) meet() *meeting {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.met != nil {
		return nil
	}
	now := w.clock.Now()
	w.met = &meeting{began: now, last: now, over: make(chan struct{})}
	close(w.came)
	return w.met
}

// meeting returns it; nil is that nobody came.
func (w *wire) meeting() *meeting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.met
}

// turnedAway reports whether more came than are let in.
func (w *wire) turnedAway() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.crowded
}
