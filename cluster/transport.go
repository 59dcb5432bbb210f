package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
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
	ctx      context.Context //nolint:containedctx // the stream's own life: Close cancels it
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

func newStream(bind, advertise string, server, client *tls.Config, log hclog.Logger) (*stream, error) {
	inner, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", bind)
	if err != nil {
		return nil, fmt.Errorf("listen for raft: %w", err)
	}
	addr, err := net.ResolveTCPAddr("tcp", advertise)
	if err != nil {
		return nil, fmt.Errorf("resolve raft address %q: %w", advertise, joinClose(err, inner))
	}
	s := &stream{
		listener: inner, addr: addr, client: client, log: log,
		ready: make(chan net.Conn), slots: make(chan struct{}, maxHandshakes),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(func() { s.accept(server) })
	return s, nil
}

func (s *stream) accept(server *tls.Config) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() != nil {
				return
			}
			s.log.Warn("accept raft connection", "error", err)
			if !wait(s.ctx, 50*time.Millisecond) {
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
	select {
	case s.ready <- conn:
	case <-s.ctx.Done():
		closeQuietly(conn)
	}
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

// Close ends the listener and every handshake under way.
func (s *stream) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.wg.Wait()
	return err
}

// Addr is what the other schedulers dial.
func (s *stream) Addr() net.Addr { return s.addr }

// Dial opens a connection to another scheduler and has it prove that it is one.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: timeout}, Config: s.client}
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", string(address))
	if err != nil {
		return nil, fmt.Errorf("dial scheduler %s: %w", address, err)
	}
	return conn, nil
}

// transport is raft's network transport with two changes. Heartbeats take the ordinary
// path: the fast path lets a deposed leader stamp entries with a term that is not its own
// (hashicorp/raft issue 695). And the consumer can be given an RPC of our own: the leader
// watch starts an election with it.
type transport struct {
	*raft.NetworkTransport
	rpc  chan raft.RPC
	done chan struct{}
	wg   sync.WaitGroup
}

func newTransport(s *stream, log hclog.Logger) *transport {
	t := &transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: s, MaxPool: 3, Timeout: 10 * time.Second, Logger: log,
			// Pipelined appends can wedge a follower for ever after a disk stall (issue 612).
			MaxRPCsInFlight:         1,
			MsgpackUseNewTimeFormat: true,
		}),
		rpc: make(chan raft.RPC), done: make(chan struct{}),
	}
	t.wg.Go(func() {
		for {
			select {
			case rpc := <-t.NetworkTransport.Consumer():
				select {
				case t.rpc <- rpc:
				case <-t.done:
					return
				}
			case <-t.done:
				return
			}
		}
	})
	return t
}

// Consumer hands raft the RPCs of its peers and of the leader watch.
func (t *transport) Consumer() <-chan raft.RPC { return t.rpc }

// SetHeartbeatHandler does nothing, as the Transport contract allows.
func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}

// startElection makes raft stand for election at once, as a leadership transfer does.
func (t *transport) startElection(ctx context.Context, header raft.RPCHeader) error {
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: header}, RespChan: answer}
	select {
	case t.rpc <- rpc:
	case <-ctx.Done():
		return ctx.Err()
	case <-t.done:
		return net.ErrClosed
	}
	select {
	case r := <-answer:
		return r.Error
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the pump and the network transport.
func (t *transport) Close() error {
	close(t.done)
	t.wg.Wait()
	return t.NetworkTransport.Close()
}
