package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// rpcTimeout is that of the real transport.
const rpcTimeout = 10 * time.Second

// link is the way of one scheduler to the others' Raft.
type link struct {
	net  *network
	self *proc
	id   api.NodeID // of the scheduler
	in   chan raft.RPC
	done chan struct{}
	ctx  context.Context //nolint:containedctx // the link's own life: Close cancels it
	stop context.CancelFunc
	once sync.Once
	// peers finds the link at an address: what the kernel does with a port.
	peers func(name string) *link
}

func newLink(n *network, self *proc, id api.NodeID, peers func(string) *link) *link {
	ctx, stop := context.WithCancel(self.ctx)
	return &link{net: n, self: self, id: id, in: make(chan raft.RPC), done: make(chan struct{}), ctx: ctx, stop: stop, peers: peers}
}

// Consumer hands raft what arrives.
func (l *link) Consumer() <-chan raft.RPC { return l.in }

// LocalAddr is the name of the scheduler.
func (l *link) LocalAddr() raft.ServerAddress { return raft.ServerAddress(raftAddr(l.self.name)) }

// EncodePeer and DecodePeer are the identity.
func (l *link) EncodePeer(_ raft.ServerID, addr raft.ServerAddress) []byte { return []byte(addr) }

// DecodePeer is the inverse of EncodePeer.
func (l *link) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler does nothing: heartbeats take the ordinary path.
func (l *link) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntriesPipeline is not offered, as the real transport does not.
func (l *link) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries carries entries to a follower.
func (l *link) AppendEntries(id raft.ServerID, to raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return carry(l, id, to, args, nil, resp)
}

// RequestVote asks for a vote.
func (l *link) RequestVote(id raft.ServerID, to raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return carry(l, id, to, args, nil, resp)
}

// RequestPreVote asks whether a vote would be given.
func (l *link) RequestPreVote(id raft.ServerID, to raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return carry(l, id, to, args, nil, resp)
}

// TimeoutNow tells a follower to stand.
func (l *link) TimeoutNow(id raft.ServerID, to raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return carry(l, id, to, args, nil, resp)
}

// InstallSnapshot carries a snapshot to a follower.
func (l *link) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	whole, err := io.ReadAll(data)
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	return carry(l, id, to, args, whole, resp)
}

// carry is one request to another scheduler's Raft and its answer.
func carry[Q, A any](l *link, id raft.ServerID, to raft.ServerAddress, args *Q, data []byte, resp *A) error {
	ctx, cancel := context.WithTimeout(l.ctx, rpcTimeout)
	defer cancel()
	if data == nil && l.net.twice() {
		l.net.wg.Go(func() { _, _ = ask[Q, A](ctx, l, id, to, args, nil) }) // the second one's answer goes nowhere
	}
	a, err := ask[Q, A](ctx, l, id, to, args, data)
	if err != nil {
		return err
	}
	*resp = *a
	return nil
}

// ask reaches the member that is meant, or nobody, whoever came to its address.
func ask[Q, A any](ctx context.Context, l *link, id raft.ServerID, to raft.ServerAddress, args *Q, data []byte) (*A, error) {
	return call(ctx, l.net, l.self, hostOf(to), func(ctx context.Context, callee *proc) (*A, error) {
		peer := l.peers(hostOf(to))
		if peer == nil || peer.self != callee || id != raft.ServerID(peer.id) {
			return nil, errRefused
		}
		answer := make(chan raft.RPCResponse, 1)
		rpc := raft.RPC{Command: copyOf(args), RespChan: answer}
		if data != nil {
			rpc.Reader = bytes.NewReader(data)
		}
		select {
		case peer.in <- rpc:
		case <-peer.done:
			return nil, errReset
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		select {
		case r := <-answer:
			if r.Error != nil {
				return nil, r.Error
			}
			got, ok := r.Response.(*A)
			if !ok {
				return nil, fmt.Errorf("raft answered with %T", r.Response)
			}
			return copyOf(got), nil
		case <-peer.done:
			return nil, errReset
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

// copyOf keeps the two sides from sharing a message, as a network does. Entries inside stay
// shared: nobody writes them.
func copyOf[T any](v *T) *T {
	c := *v
	return &c
}

// Close ends the link. It may be called twice.
func (l *link) Close() error {
	l.once.Do(func() {
		l.stop()
		close(l.done)
	})
	return nil
}

const (
	holdDial = 500 * time.Millisecond
	goneLook = 5 * time.Millisecond
)

// Hold keeps a silent connection to a scheduler until its life ends.
func (l *link) Hold(ctx context.Context, at raft.ServerAddress, held func()) (process string, ended bool) {
	dial, cancel := context.WithTimeout(ctx, holdDial)
	defer cancel()
	there := l.net.proc(hostOf(at))
	if there == nil || !l.net.travel(dial, l.self.name, there.name) || !l.net.travel(dial, there.name, l.self.name) {
		return "", false
	}
	held()
	select {
	case <-there.dead:
	case <-ctx.Done():
		return "", false
	}
	// The end is a message too: behind a cut nobody hears of it.
	if !l.self.awake() || !l.net.travel(ctx, there.name, l.self.name) {
		return "", false
	}
	return there.id, true
}

// Refused reports whether nobody listens at an address.
func (l *link) Refused(ctx context.Context, at raft.ServerAddress) bool {
	ctx, cancel := context.WithTimeout(ctx, holdDial)
	defer cancel()
	name := hostOf(at)
	return l.net.travel(ctx, l.self.name, name) && l.net.proc(name) == nil && l.net.travel(ctx, name, l.self.name)
}

// Gone waits at most d for the end of a life, and reports whether it came. The ends of its
// connections are messages: behind a cut nobody hears of them.
func (l *link) Gone(ctx context.Context, process string, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	name, _, _ := strings.Cut(process, "#")
	for p := l.net.proc(name); p != nil && p.id == process; p = l.net.proc(name) {
		if !pass(ctx, goneLook) {
			return false
		}
	}
	return l.self.awake() && l.net.travel(ctx, name, l.self.name)
}
