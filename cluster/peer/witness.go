package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/api/mutant"
)

// witness knows which members answered this node, as the leader of a term, and to what: so it
// can say that a majority of the voters still followed it after a given moment. raft's own
// VerifyLeader cannot (v1.8.0): it counts members without a vote, and answers to messages that
// were sent before it was asked.
//
// A moment is a number, and every message bears the number of the moment before it was sent: no
// clock is involved. Every append counts, raft's and ours. Who still waits has more sent, one to
// a member at a time: an append without entries, with header and term of raft's own messages.
type witness struct {
	send  func(id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error
	clock clock.Clock
	kick  chan struct{} // holds one

	mu    sync.Mutex
	now   uint64                     // guarded by mu: the number of the newest question
	term  uint64                     // guarded by mu: in which the messages are sent
	from  raft.AppendEntriesRequest  // guarded by mu: the header of raft's messages of term
	peers map[raft.ServerID]*present // guarded by mu: those that got messages of term
	open  []*Question                // guarded by mu: what is not answered yet
}

// present is what a member answered in this term.
type present struct {
	seen uint64    // it answered a message that was sent after this question was asked
	at   time.Time // when the newest message that it answered was sent
	busy bool      // a message of the witness's own is under way
	lost bool      // the last message failed: it is left to raft until one does not
}

// Question is whether this node still leads a term.
type Question struct {
	number, term uint64
	voters       []raft.Server // but this node
	need         int           // how many of them must answer
	done         chan error    // holds one
}

// Done gives one answer: nil is that this node led after the question was asked.
func (q *Question) Done() <-chan error { return q.done }

// Ask begins a question whether this node leads a term: need of the voters, which are all but this
// node, must answer. Forget must be called when nobody waits for it any more.
func (t *Transport) Ask(term uint64, voters []raft.Server, need int) *Question {
	return t.witness.ask(term, voters, need)
}

// Followed returns when the newest message was sent that need of the voters, which are all but this
// node, answered in the term that it leads or led last: until then it was followed. The zero time is
// never.
func (t *Transport) Followed(voters []raft.Server, need int) time.Time {
	return t.witness.followed(voters, need)
}

func (w *witness) followed(voters []raft.Server, need int) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	var few [8]time.Time // more voters are rare
	newest := few[:0]
	for _, v := range voters {
		if p := w.peers[v.ID]; p != nil && !p.at.IsZero() {
			newest = append(newest, p.at)
		}
	}
	if need < 1 || len(newest) < need {
		return time.Time{}
	}
	slices.SortFunc(newest, func(a, b time.Time) int { return b.Compare(a) })
	return newest[need-1]
}

// Forget ends a question.
func (t *Transport) Forget(q *Question) { t.witness.forget(q) }

func newWitness(c clock.Clock, send func(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error) *witness {
	return &witness{send: send, clock: c, kick: make(chan struct{}, 1)}
}

// sending notes a message; sent must be called with its answer.
func (w *witness) sending(id raft.ServerID, args *raft.AppendEntriesRequest) (sent func(*raft.AppendEntriesResponse, error)) {
	now := w.clock.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if args.Term > w.term {
		w.beginLocked(args)
	}
	if args.Term < w.term {
		return func(*raft.AppendEntriesResponse, error) {}
	}
	p := w.peerLocked(id)
	number := w.now
	return func(resp *raft.AppendEntriesResponse, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		p.lost = err != nil
		if err != nil || args.Term != w.term {
			return
		}
		if resp.Term != args.Term {
			w.endLocked(func(*Question) error {
				return fmt.Errorf("member %s is in term %d, this node leads term %d", id, resp.Term, args.Term)
			})
			return
		}
		if mutant.On(mutant.VerifyOldAnswer) {
			number = w.now
		}
		p.seen = max(p.seen, number)
		if now.After(p.at) {
			p.at = now
		}
		w.endLocked(func(q *Question) error { return w.answerLocked(q) })
		if len(w.open) > 0 {
			w.wake()
		}
	}
}

// beginLocked begins a term.
func (w *witness) beginLocked(args *raft.AppendEntriesRequest) {
	w.term, w.peers = args.Term, map[raft.ServerID]*present{}
	w.from = raft.AppendEntriesRequest{RPCHeader: args.RPCHeader, Term: args.Term}
	w.endLocked(func(q *Question) error { return w.answerLocked(q) })
	w.wake()
}

func (w *witness) peerLocked(id raft.ServerID) *present {
	p := w.peers[id]
	if p == nil {
		p = &present{}
		w.peers[id] = p
	}
	return p
}

// ErrOpen is that a question is not answered yet.
var ErrOpen = errors.New("no majority of the voters has answered yet")

// answerLocked answers a question, if it can be.
func (w *witness) answerLocked(q *Question) error {
	if q.term < w.term {
		return fmt.Errorf("this node led term %d, now it leads term %d", q.term, w.term)
	}
	got := 0
	for _, v := range q.voters {
		if p := w.peers[v.ID]; p != nil && q.term == w.term && p.seen >= q.number {
			got++
		}
	}
	if got < q.need {
		return ErrOpen
	}
	return nil
}

// endLocked ends every question that answer has an answer to.
func (w *witness) endLocked(answer func(*Question) error) {
	w.open = slices.DeleteFunc(w.open, func(q *Question) bool {
		err := answer(q)
		if err == ErrOpen { //nolint:errorlint // it is never wrapped
			return false
		}
		q.done <- err
		return true
	})
}

// ask begins a question; forget must be called when nobody waits for it any more.
func (w *witness) ask(term uint64, voters []raft.Server, need int) *Question {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now++
	q := &Question{number: w.now, term: term, voters: voters, need: need, done: make(chan error, 1)}
	w.open = append(w.open, q)
	w.endLocked(func(q *Question) error { return w.answerLocked(q) })
	if len(w.open) > 0 {
		w.wake()
	}
	return q
}

func (w *witness) forget(q *Question) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = slices.DeleteFunc(w.open, func(o *Question) bool { return o == q })
}

func (w *witness) wake() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// run sends to those whose answers are waited for, until ctx ends. start begins a goroutine.
func (w *witness) run(ctx context.Context, start func(func())) {
	for {
		select {
		case <-w.kick:
		case <-ctx.Done():
			return
		}
		for _, v := range w.due() {
			start(func() { w.call(v) })
		}
	}
}

// summons is a message to a voter.
type summons struct {
	to   raft.Server
	args raft.AppendEntriesRequest
	peer *present
}

// due returns what is to be sent now. One message serves every question that was asked before it.
func (w *witness) due() []summons {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []summons
	for _, q := range w.open {
		if q.term != w.term {
			continue // raft has not spoken in this term yet
		}
		for _, v := range q.voters {
			if p := w.peerLocked(v.ID); !p.busy && !p.lost && p.seen < q.number {
				p.busy = true
				due = append(due, summons{v, w.from, p})
			}
		}
	}
	return due
}

func (w *witness) call(s summons) {
	var resp raft.AppendEntriesResponse
	_ = w.send(s.to.ID, s.to.Address, &s.args, &resp) // it is noted on the way, failed or not
	w.mu.Lock()
	defer w.mu.Unlock()
	s.peer.busy = false
	if len(w.open) > 0 {
		w.wake()
	}
}

// Electorate returns the voters but self, and how many of them make a majority with it.
func Electorate(servers []raft.Server, id raft.ServerID) (others []raft.Server, need int) {
	voters, own := 0, 0
	for _, s := range servers {
		self := s.ID == id
		if s.Suffrage == raft.Voter {
			voters++
			if self {
				own = 1
			}
		}
		if !self && (s.Suffrage == raft.Voter || mutant.On(mutant.VerifyCountsSpares)) {
			others = append(others, s)
		}
	}
	return others, voters/2 + 1 - own
}
