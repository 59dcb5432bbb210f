package cluster

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

// Link is how a node reaches the other members' Raft, and what it knows of the processes
// there. cluster/wire is the real one. What is sent to a member reaches that member or
// nobody: never another scheduler that came to its address.
type Link interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
	Watch
}

// Watch tells a process that is gone from one that is only not heard.
type Watch interface {
	// Hold keeps a silent connection to the process at an address and returns when it has
	// ended, with the name of the process. held is called once the connection stands. ended is
	// false when there never was one, or when ctx ended it.
	Hold(ctx context.Context, at raft.ServerAddress, held func()) (process string, ended bool)
	// Refused reports whether nobody listens at an address any more.
	Refused(ctx context.Context, at raft.ServerAddress) bool
	// Gone waits at most d for the last connection that a process holds to this one to end, and
	// reports whether it did.
	Gone(ctx context.Context, process string, d time.Duration) bool
}

// transport is a link with a few changes. Heartbeats take the ordinary path: the fast path
// lets a deposed leader stamp entries with a term that is not its own (hashicorp/raft issue
// 695). The consumer can be given an RPC of our own: the leader watch starts an election
// with it. And a member is dialled where gossip says that it is, so that a group whose
// addresses have all changed finds itself again (addressed.go). A leader whose disk hangs
// falls silent: its heartbeats need no disk, and would keep it leader for ever (issue 503). And
// a follower commits only what its leader's request proves (proven.go), and takes what is repeated
// to it after a snapshot (covered.go).
// Followers hear at once what is committed when nothing follows (herald.go), and who follows is
// counted (witness.go). A member that answers again is no trouble any more (unreached.go).
type transport struct {
	Link
	where     addresses
	quiet     hushed
	herald    *herald
	witness   *witness
	unreached *unreached
	raft      atomic.Pointer[raft.Raft] // nil before it has started
	rpc       chan raft.RPC
	done      chan struct{}
	wg        sync.WaitGroup

	closeOnce sync.Once
	closeErr  error
}

func newTransport(l Link, c clock.Clock, u *unreached) *transport {
	t := &transport{Link: l, unreached: u, rpc: make(chan raft.RPC), done: make(chan struct{}), quiet: hushed{clock: c}}
	t.herald, t.witness = newHerald(t.append), newWitness(t.append)
	ctx, cancel := context.WithCancel(context.Background())
	t.wg.Go(func() {
		defer cancel()
		<-t.done
	})
	t.wg.Go(func() { t.herald.run(ctx, t.wg.Go) })
	t.wg.Go(func() { t.witness.run(ctx, t.wg.Go) })
	t.wg.Go(func() {
		for {
			select {
			case rpc := <-l.Consumer():
				select {
				case t.rpc <- t.covered(proven(rpc)):
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

// standWithin is for how long raft's main loop may be busy when this node is to stand.
const standWithin = 100 * time.Millisecond

// errBusy is why this node did not stand.
var errBusy = errors.New("raft's main loop is busy: its disk may hang")

// startElection makes raft stand for election at once, as a leadership transfer does. It gives
// up when raft does not take it at once: after a disk that hung it would depose whoever was
// elected meanwhile.
func (t *transport) startElection(ctx context.Context, header raft.RPCHeader) error {
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: header}, RespChan: answer}
	busy := time.NewTimer(standWithin)
	defer busy.Stop()
	select {
	case t.rpc <- rpc:
	case <-busy.C:
		return errBusy
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

// Close ends the pump and the link. raft closes it too.
func (t *transport) Close() error {
	t.closeOnce.Do(func() {
		close(t.done)
		t.closeErr = t.Link.Close()
		t.wg.Wait()
	})
	return t.closeErr
}
