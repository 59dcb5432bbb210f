package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/fsm"
)

// verifyTimeout bounds one round of confirming the leadership.
const verifyTimeout = 2 * time.Second

// Read returns a state that holds every write acknowledged before the call began, on any
// node: the leader's commit index, confirmed by a quorum, then waited for here. Readers
// that come together share a round. It waits at most HoldTime for a leader.
func (n *Node) Read(ctx context.Context) (*fsm.View, error) {
	if mutant.On(mutant.StaleRead) {
		return n.machine.View(), nil
	}
	hold, cancel := context.WithTimeout(ctx, HoldTime)
	defer cancel()
	for {
		changed := n.leadership.wait()
		index, err := n.verifier.do(hold)
		if err == nil {
			if err := n.machine.WaitIndex(hold, index); err != nil {
				return nil, api.Refuse(api.NoLeader, "this scheduler did not reach index %d within %s: it is at %d", index, HoldTime, n.machine.View().Index())
			}
			return n.machine.View(), nil
		}
		if !waitAny(hold, changed, 50*time.Millisecond) {
			return nil, n.noLeader()
		}
	}
}

// ReadIndex answers another scheduler that wants to serve a verified read.
func (n *Node) ReadIndex(ctx context.Context) (*api.ReadIndex, error) {
	// The term comes first: it is the one whose gate is open. The commit index comes next: the
	// confirmation then covers it. An open gate means that an entry of this term is committed,
	// without which the index could be an old leader's.
	term := n.raft.CurrentTerm()
	if !n.Leads() {
		return nil, api.Refuse(api.NoLeader, "scheduler %s does not lead", n.cfg.Node)
	}
	index := n.raft.CommitIndex()
	if err := n.verify(ctx, term); err != nil && !mutant.On(mutant.SkipVerify) {
		return nil, api.Refuse(api.NoLeader, "scheduler %s does not lead: %v", n.cfg.Node, err)
	}
	return &api.ReadIndex{Index: index, Term: term}, nil
}

// verifyOnce asks whoever leads for an index at which a verified read may be served.
func (n *Node) verifyOnce(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	url, self, err := n.Locate(ctx)
	if err != nil {
		return 0, err
	}
	if self {
		r, err := n.ReadIndex(ctx)
		if err != nil {
			return 0, err
		}
		return r.Index, nil
	}
	peer, err := n.dialPeer(url)
	if err != nil {
		return 0, err
	}
	r, err := peer.ReadIndex(ctx)
	if err != nil {
		return 0, err
	}
	return r.Index, nil
}

// Peer returns a client of another scheduler.
func (n *Node) Peer(id api.NodeID) (api.Peers, error) {
	url := n.urlOf(id)
	if url == "" {
		return nil, api.Refuse(api.NotFound, "the address of scheduler %s is not known", id)
	}
	return n.dialPeer(url)
}

func (n *Node) dialPeer(url string) (api.Peers, error) { return n.peers.get(url) }

// Others lists the schedulers that gossip holds for alive, without this one.
func (n *Node) Others() []api.NodeID {
	var others []api.NodeID
	for _, m := range n.gossip.Members() {
		if m.Alive && m.Node != n.cfg.Node {
			others = append(others, m.Node)
		}
	}
	return others
}

// peerClients keeps one client per address: connections are kept alive between calls.
type peerClients struct {
	dial func(url string) (Peer, error)

	mu     sync.Mutex
	open   map[string]Peer // guarded by mu
	closed bool            // guarded by mu
}

func (p *peerClients) get(url string) (Peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, api.Refuse(api.NoLeader, "this scheduler stops")
	}
	if c, ok := p.open[url]; ok {
		return c, nil
	}
	c, err := p.dial(url)
	if err != nil {
		return nil, err
	}
	p.open[url] = c
	return c, nil
}

func (p *peerClients) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for _, c := range p.open {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// batcher lets callers share a round of work: whoever comes while a round runs takes part
// in the next one, which begins after it came.
type batcher struct {
	work  func() (uint64, error)
	start func(func()) bool // begins a goroutine, false when none may begin any more

	mu   sync.Mutex
	next *round // guarded by mu: whom the next round is for
	busy bool   // guarded by mu: a goroutine runs rounds
}

type round struct {
	done  chan struct{}
	index uint64
	err   error
}

func newBatcher(work func() (uint64, error), start func(func()) bool) *batcher {
	return &batcher{work: work, start: start}
}

func (b *batcher) do(ctx context.Context) (uint64, error) {
	r, err := b.join()
	if err != nil {
		return 0, err
	}
	select {
	case <-r.done:
		return r.index, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// join returns the round that begins next.
func (b *batcher) join() (*round, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		return b.next, nil
	}
	r := &round{done: make(chan struct{})}
	b.next = r
	if !b.busy {
		if !b.start(b.run) {
			b.next = nil
			return nil, api.Refuse(api.NoLeader, "this scheduler stops")
		}
		b.busy = true
	}
	return r, nil
}

func (b *batcher) run() {
	for {
		b.mu.Lock()
		r := b.next
		b.next = nil
		b.busy = r != nil
		b.mu.Unlock()
		if r == nil {
			return
		}
		r.index, r.err = b.work()
		close(r.done)
	}
}
