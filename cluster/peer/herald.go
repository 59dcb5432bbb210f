package peer

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/mutant"
)

// heraldAfter is for how long a follower hears nothing of a commit before it is told: under
// load the next entry tells it sooner, and at no cost.
const heraldAfter = time.Millisecond

// herald tells followers what is committed when no entry follows that would. Raft does that
// only after CommitTimeout, and so long a cell that watches a follower would wait for its lease.
//
// It sends what raft sends then: an append without entries, behind an entry that the follower
// confirmed and that is committed. Header and term are those of raft's own messages of this
// term, so that it says nothing that raft would not say.
type herald struct {
	send func(id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error
	kick chan struct{} // holds one

	mu    sync.Mutex
	term  uint64                   // guarded by mu: in which the messages are sent
	done  uint64                   // guarded by mu: the newest committed entry of term
	peers map[raft.ServerID]*heard // guarded by mu: those that got messages of term
}

// heard is what a follower confirmed in this term.
type heard struct {
	at    raft.ServerAddress
	from  raft.AppendEntriesRequest // the header of raft's last message
	match uint64                    // it holds every entry up to this one
	told  uint64                    // it knows that everything up to this is committed
	busy  int                       // messages under way
}

// behind reports whether it can be told of done.
func (h *heard) behind(done uint64) bool { return h.busy == 0 && h.told < done && done <= h.match }

func newHerald(send func(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error) *herald {
	return &herald{send: send, kick: make(chan struct{}, 1)}
}

// sending notes a message of raft's; sent must be called with its answer.
func (h *herald) sending(id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest) (sent func(*raft.AppendEntriesResponse, error)) {
	if args.PrevLogEntry == 0 && len(args.Entries) == 0 { // a heartbeat, which confirms nothing
		return func(*raft.AppendEntriesResponse, error) {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if args.Term > h.term {
		h.term, h.done, h.peers = args.Term, 0, map[raft.ServerID]*heard{}
	}
	if args.Term < h.term {
		return func(*raft.AppendEntriesResponse, error) {}
	}
	p := h.peers[id]
	if p == nil {
		p = &heard{}
		h.peers[id] = p
	}
	p.at, p.busy = at, p.busy+1
	p.from = raft.AppendEntriesRequest{RPCHeader: args.RPCHeader, Term: args.Term}
	holds, knows := args.PrevLogEntry+uint64(len(args.Entries)), args.LeaderCommitIndex
	return func(resp *raft.AppendEntriesResponse, err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		p.busy--
		if err != nil || !resp.Success || resp.Term != args.Term {
			p.match = 0 // it is left to raft until it confirms something again
			return
		}
		p.match, p.told = max(p.match, holds), max(p.told, min(knows, holds))
		if mutant.On(mutant.HeraldAhead) {
			h.done = max(h.done, holds)
		}
		if p.behind(h.done) {
			h.wake()
		}
	}
}

// committed notes that an entry was applied here.
func (h *herald) committed(index, term uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if term != h.term || len(h.peers) == 0 {
		return
	}
	h.done = index
	for _, p := range h.peers {
		if p.behind(index) {
			h.wake()
			return
		}
	}
}

func (h *herald) wake() {
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

// run tells those that heard nothing for a while, until ctx ends. start begins a goroutine.
func (h *herald) run(ctx context.Context, start func(func())) {
	pause := time.NewTimer(heraldAfter)
	defer pause.Stop()
	for {
		select {
		case <-h.kick:
		case <-ctx.Done():
			return
		}
		pause.Reset(heraldAfter)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		for _, e := range h.due() {
			start(func() {
				var resp raft.AppendEntriesResponse
				err := h.send(e.id, e.at, &e.args, &resp)
				e.sent(&resp, err)
			})
		}
	}
}

// errand is a message to a follower.
type errand struct {
	id   raft.ServerID
	at   raft.ServerAddress
	args raft.AppendEntriesRequest
	sent func(*raft.AppendEntriesResponse, error)
}

// due returns what is to be sent now, in the order of the ids.
func (h *herald) due() []errand {
	h.mu.Lock()
	var due []errand
	for id, p := range h.peers {
		if !p.behind(h.done) {
			continue
		}
		e := errand{id: id, at: p.at, args: p.from}
		e.args.PrevLogEntry, e.args.PrevLogTerm, e.args.LeaderCommitIndex = h.done, h.term, h.done
		due = append(due, e)
	}
	h.mu.Unlock()
	slices.SortFunc(due, func(a, b errand) int { return cmp.Compare(a.id, b.id) })
	for i := range due {
		due[i].sent = h.sending(due[i].id, due[i].at, &due[i].args)
	}
	return due
}
