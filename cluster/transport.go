package cluster

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// transport is raft's network transport with two changes. Heartbeats take the ordinary
// path: the fast path lets a deposed leader stamp entries with a term that is not its own
// (hashicorp/raft issue 695). And the consumer can be given an RPC of our own: the leader
// watch starts an election with it.
type transport struct {
	*raft.NetworkTransport
	rpc  chan raft.RPC
	done chan struct{}
	wg   sync.WaitGroup

	closeOnce sync.Once
	closeErr  error
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

// Close ends the pump and the network transport. raft closes it too.
func (t *transport) Close() error {
	t.closeOnce.Do(func() {
		close(t.done)
		t.CloseStreams() // the pooled connections, which Close forgets
		t.closeErr = t.NetworkTransport.Close()
		t.wg.Wait()
	})
	return t.closeErr
}
