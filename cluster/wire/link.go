package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// Config says where this scheduler listens, where the others dial it, and how both prove
// themselves.
type Config struct {
	// Node is this scheduler's id: what is sent to another one is refused.
	Node api.NodeID
	// Bind and Advertise are host:port.
	Bind, Advertise string
	// Server admits schedulers only; Client proves this one.
	Server, Client *tls.Config
	Log            hclog.Logger
}

// Link is raft's network transport, and what it knows of the processes at its ends.
type Link struct {
	*raft.NetworkTransport
	stream *stream
	log    hclog.Logger

	closeOnce sync.Once
	closeErr  error
}

// rpcTimeout bounds one message to another scheduler; raft lengthens it for snapshots.
const rpcTimeout = 10 * time.Second

// Open listens.
func Open(c Config) (*Link, error) {
	s, err := newStream(c)
	if err != nil {
		return nil, err
	}
	return &Link{stream: s, log: c.Log, NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s, MaxPool: maxPool, Timeout: rpcTimeout, Logger: c.Log,
		// Pipelined appends can wedge a follower for ever after a disk stall (issue 612).
		MaxRPCsInFlight:         1,
		MsgpackUseNewTimeFormat: true,
	})}, nil
}

// Close ends every connection. It may be called twice: raft calls it too.
func (l *Link) Close() error {
	l.closeOnce.Do(func() {
		l.CloseStreams() // the pooled connections, which Close forgets
		l.closeErr = l.NetworkTransport.Close()
	})
	return l.closeErr
}

const (
	holdDial = 500 * time.Millisecond
	// refusedFor is for how long the ends of a dying process's sockets may trickle in;
	// refusedLook is the pause between two looks.
	refusedFor  = 100 * time.Millisecond
	refusedLook = 5 * time.Millisecond
)

// Hold keeps a silent connection to the scheduler at an address, and returns when it has
// ended: with the name of the process behind it. held is called once it stands. ended is
// false when there never was one, or when ctx ended it.
func (l *Link) Hold(ctx context.Context, at raft.ServerAddress, held func()) (process string, ended bool) {
	conn, err := l.stream.dial(ctx, string(at), watchProtocol, holdDial)
	if err != nil {
		l.log.Debug("watch the leader", "address", string(at), "error", err)
		return "", false
	}
	defer closeQuietly(conn)
	held()
	stop := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	defer stop()
	var b [1]byte
	_, _ = conn.Read(b[:]) // nothing is ever sent: an end is all there is to learn
	return peerKey(conn), ctx.Err() == nil
}

// Refused reports whether nobody listens at an address any more. A dying process closes its
// descriptors one by one: a listener can outlive a connection by a moment, and takes a last
// one into its queue.
func (l *Link) Refused(ctx context.Context, at raft.ServerAddress) bool {
	ctx, cancel := context.WithTimeout(ctx, refusedFor+holdDial)
	defer cancel()
	d := net.Dialer{Timeout: holdDial}
	looks := int(refusedFor / refusedLook)
	for range looks {
		conn, err := d.DialContext(ctx, "tcp", string(at))
		if err != nil {
			return errors.Is(err, syscall.ECONNREFUSED)
		}
		closeQuietly(conn)
		if !clock.Sleep(ctx, refusedLook) {
			return false
		}
	}
	return false
}

// Gone waits at most d for the last connection that a process holds to this one to end, and
// reports whether it did.
func (l *Link) Gone(ctx context.Context, process string, d time.Duration) bool {
	return l.stream.inbound.gone(ctx, process, d)
}
