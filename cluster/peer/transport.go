package peer

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cluster/rumor"
)

// Transport is a link with a few changes. Heartbeats take the ordinary path: the fast path
// lets a deposed leader stamp entries with a term that is not its own (hashicorp/raft issue
// 695). The consumer can be given an RPC of our own: the leader watch starts an election
// with it. And a member is dialled where gossip says that it is, so that a group whose
// addresses have all changed finds itself again (addressed.go). A leader whose disk hangs
// falls silent: its heartbeats need no disk, and would keep it leader for ever (issue 503). And
// a follower commits only what its leader's request proves (proven.go), and takes what is repeated
// to it after a snapshot (covered.go).
// Followers hear at once what is committed when nothing follows (herald.go), and who follows is
// counted (witness.go). A member that answers again is no trouble any more (unreached.go).
type Transport struct {
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

// New changes a link. Close ends both. To log, or Logger, it says whom it does not reach.
// hears is told of every message of a leader of this term or a later one.
func New(l Link, c clock.Clock, log hclog.Logger, hears func()) *Transport {
	t := &Transport{Link: l, unreached: newUnreached(log, c), rpc: make(chan raft.RPC), done: make(chan struct{}), quiet: hushed{clock: c}}
	t.herald, t.witness = newHerald(t.append), newWitness(c, t.append)
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
				if t.ofLeader(rpc) {
					hears()
				}
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

// ofLeader reports whether a leader of this node's term, or of a later one, sent rpc.
func (t *Transport) ofLeader(rpc raft.RPC) bool {
	r := t.raft.Load()
	if r == nil {
		return false
	}
	switch q := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		return q.Term >= r.CurrentTerm()
	case *raft.InstallSnapshotRequest:
		return q.Term >= r.CurrentTerm()
	}
	return false
}

// Serve names the raft that is spoken for: before it is known, its RPCs are passed on as they are.
func (t *Transport) Serve(r *raft.Raft) { t.raft.Store(r) }

// Logger is for raft.
func (t *Transport) Logger() hclog.Logger { return t.unreached }

// Learn takes what gossip says of where the members are.
func (t *Transport) Learn(members []rumor.Member) { t.where.learn(members) }

// Committed notes that an entry of a term was applied here: followers are told of it.
func (t *Transport) Committed(index, term uint64) { t.herald.committed(index, term) }

// Consumer hands raft the RPCs of its peers and of the leader watch.
func (t *Transport) Consumer() <-chan raft.RPC { return t.rpc }

// SetHeartbeatHandler does nothing, as the Transport contract allows.
func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {}

// StandWithin is for how long raft's main loop may be busy when this node is to stand.
const StandWithin = 100 * time.Millisecond

// ErrBusy is why this node did not stand.
var ErrBusy = errors.New("raft's main loop is busy: its disk may hang")

// StartElection makes raft stand for election at once, as a leadership transfer does. It gives
// up when raft does not take it at once: after a disk that hung it would depose whoever was
// elected meanwhile.
func (t *Transport) StartElection(ctx context.Context, header raft.RPCHeader) error {
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: header}, RespChan: answer}
	busy := time.NewTimer(StandWithin)
	defer busy.Stop()
	select {
	case t.rpc <- rpc:
	case <-busy.C:
		return ErrBusy
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
func (t *Transport) Close() error {
	t.closeOnce.Do(func() {
		close(t.done)
		t.closeErr = t.Link.Close()
		t.wg.Wait()
	})
	return t.closeErr
}
