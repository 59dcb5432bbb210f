package member

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// plainLink is cluster/wire's link without TLS: what the product does not have, to measure
// what TLS costs. It tells nothing of the other processes' ends, so that elections are by
// Raft's timers.
type plainLink struct {
	*raft.NetworkTransport

	closeOnce sync.Once
	closeErr  error
}

func openPlain(at string, log hclog.Logger) (*plainLink, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("listen for raft: %w", err)
	}
	return &plainLink{NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: plainStream{l}, MaxPool: 3, Timeout: 10 * time.Second, Logger: log,
		MaxRPCsInFlight: 1, MsgpackUseNewTimeFormat: true,
	})}, nil
}

// Close ends every connection. It may be called twice.
func (l *plainLink) Close() error {
	l.closeOnce.Do(func() {
		l.CloseStreams()
		l.closeErr = l.NetworkTransport.Close()
	})
	return l.closeErr
}

// Hold never sees an end.
func (l *plainLink) Hold(ctx context.Context, _ raft.ServerAddress, _ func()) (process string, ended bool) {
	<-ctx.Done()
	return "", false
}

// Refused never says so.
func (l *plainLink) Refused(context.Context, raft.ServerAddress) bool { return false }

// Gone never says so.
func (l *plainLink) Gone(context.Context, string, time.Duration) bool { return false }

// plainStream is TCP.
type plainStream struct{ net.Listener }

// Dial connects to another member.
func (plainStream) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return (&net.Dialer{Timeout: timeout}).Dial("tcp", string(to))
}
