package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

const (
	handshakeTimeout = 5 * time.Second
	// maxHandshakes bounds the connections that have not proved their role yet.
	maxHandshakes = 64
)

// stream carries Raft over mutual TLS. A connection reaches Raft only when its handshake
// has proved the scheduler role, under a deadline and off the accept loop.
type stream struct {
	listener net.Listener
	addr     net.Addr
	client   *tls.Config
	log      hclog.Logger
	ready    chan net.Conn
	slots    chan struct{}
	inbound  *inbound
	ctx      context.Context //nolint:containedctx // the stream's own life: Close cancels it
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

func newStream(c Config) (*stream, error) {
	inner, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", c.Bind)
	if err != nil {
		return nil, fmt.Errorf("listen for raft: %w", err)
	}
	addr, err := net.ResolveTCPAddr("tcp", c.Advertise)
	if err != nil {
		return nil, fmt.Errorf("resolve raft address %q: %w", c.Advertise, joinClose(err, inner))
	}
	s := &stream{
		listener: inner, addr: addr, client: c.Client, log: c.Log,
		ready: make(chan net.Conn), slots: make(chan struct{}, maxHandshakes), inbound: newInbound(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	server := c.Server.Clone()
	server.NextProtos = []string{protocol(c.Node), watchProtocol}
	s.wg.Go(func() { s.accept(server) })
	return s, nil
}

// errNotIt is a listener that does not say that it is the scheduler that is meant.
var errNotIt = errors.New("it is not the scheduler that is meant")

func (s *stream) accept(server *tls.Config) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() != nil {
				return
			}
			s.log.Warn("accept raft connection", "error", err)
			if !clock.Sleep(s.ctx, 50*time.Millisecond) {
				return
			}
			continue
		}
		select {
		case s.slots <- struct{}{}:
		case <-s.ctx.Done():
			closeQuietly(conn)
			return
		}
		s.wg.Go(func() {
			defer func() { <-s.slots }()
			s.handshake(tls.Server(conn, server))
		})
	}
}

func (s *stream) handshake(conn *tls.Conn) {
	ctx, cancel := context.WithTimeout(s.ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		if s.ctx.Err() == nil {
			s.log.Warn("raft connection refused", "remote", conn.RemoteAddr().String(), "error", err)
		}
		closeQuietly(conn)
		return
	}
	proto := conn.ConnectionState().NegotiatedProtocol
	if proto == "" { // whoever names no protocol means nobody in particular
		s.log.Warn("raft connection refused", "remote", conn.RemoteAddr().String(), "error", "it does not say for whom it is")
		closeQuietly(conn)
		return
	}
	proven := s.inbound.add(conn)
	if proto == watchProtocol {
		s.linger(proven)
		return
	}
	select {
	case s.ready <- proven:
	case <-s.ctx.Done():
		closeQuietly(proven)
	}
}

// linger keeps a connection of a leader watch, on which nothing is ever sent, until either
// end closes it. It counts as one of the process at its other end.
func (s *stream) linger(conn net.Conn) {
	s.wg.Go(func() {
		stop := context.AfterFunc(s.ctx, func() { closeQuietly(conn) })
		defer stop()
		var b [1]byte
		_, _ = conn.Read(b[:])
		closeQuietly(conn)
	})
}

// Accept returns the next connection of a proven scheduler.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.ready:
		return conn, nil
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends the listener, every handshake under way and every connection that was accepted:
// raft reads from those until somebody closes them.
func (s *stream) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.wg.Wait()
	s.inbound.close()
	return err
}

// Addr is what the other schedulers dial.
func (s *stream) Addr() net.Addr { return s.addr }

// Dial opens a connection to a scheduler, by what envelope returned, and has it prove that it
// is the one that is meant.
func (s *stream) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, address := opened(to)
	return s.dial(s.ctx, address, protocol(id), timeout)
}

func (s *stream) dial(ctx context.Context, address, protocol string, timeout time.Duration) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return dialTLS(ctx, s.client, address, protocol)
}

func dialTLS(ctx context.Context, client *tls.Config, address, protocol string) (*tls.Conn, error) {
	client = client.Clone()
	client.NextProtos = []string{protocol}
	d := tls.Dialer{NetDialer: &net.Dialer{}, Config: client}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("dial scheduler %s: %w", address, err)
	}
	secure, ok := conn.(*tls.Conn)
	if !ok { // crypto/tls promises that it is one
		return nil, fmt.Errorf("dial scheduler %s: %w", address, joinClose(errors.ErrUnsupported, conn))
	}
	if secure.ConnectionState().NegotiatedProtocol != protocol {
		return nil, fmt.Errorf("dial scheduler %s: %w", address, joinClose(errNotIt, conn))
	}
	return secure, nil
}
