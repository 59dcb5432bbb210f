package peer

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

// witnessRig is a witness of s1, which leads term 7, over a link that is scripted: a message of
// the witness's own is answered as says says, or never.
type witnessRig struct {
	*witness
	voters []raft.Server
	need   int
	sent   atomic.Int64
	mu     sync.Mutex
	says   map[raft.ServerID]uint64 // guarded by mu: the term that a member answers with
}

func newWitnessRig(t *testing.T) *witnessRig {
	t.Helper()
	r := &witnessRig{says: map[raft.ServerID]uint64{}}
	r.voters, r.need = Electorate([]raft.Server{
		{ID: "s1"}, {ID: "s2"}, {ID: "s3"}, {ID: "s4", Suffrage: raft.Nonvoter},
	}, "s1")
	ctx, cancel := context.WithCancel(t.Context())
	r.witness = newWitness(clock.System(), func(id raft.ServerID, _ raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
		if len(args.Entries) > 0 || args.PrevLogEntry > 0 || string(args.ID) != "s1" {
			t.Errorf("sent %+v", args)
		}
		r.sent.Add(1)
		sent := r.sending(id, args)
		r.mu.Lock()
		term := r.says[id]
		r.mu.Unlock()
		if term == 0 {
			<-ctx.Done()
			sent(resp, ctx.Err())
			return ctx.Err()
		}
		resp.Term, resp.Success = term, term == args.Term
		sent(resp, nil)
		return nil
	})
	var wg sync.WaitGroup
	wg.Go(func() { r.run(ctx, wg.Go) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

// send is a message of raft's; answer is the answer that it gets, or none.
func (r *witnessRig) send(id raft.ServerID) (answer func(term uint64)) {
	sent := r.sending(id, &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ID: []byte("s1")}, Term: 7})
	return func(term uint64) { sent(&raft.AppendEntriesResponse{Term: term, Success: term == 7}, nil) }
}

// answers has members answer the witness from now on.
func (r *witnessRig) answers(term uint64, ids ...raft.ServerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.says[id] = term
	}
}

// wantOpen waits until nothing happens any more: the question has no answer.
func wantOpen(t *testing.T, q *Question) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-q.done:
		t.Fatalf("answered: %v", err)
	default:
	}
}

// wantAnswer waits until nothing happens any more: the question is answered.
func wantAnswer(t *testing.T, q *Question, yes bool) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-q.done:
		if (err == nil) != yes {
			t.Fatalf("answered: %v", err)
		}
	default:
		t.Fatal("not answered")
	}
}

// TestWitness: a voter's answer to a message that was sent after the question is one, and every
// question that was asked before the message takes it.
func TestWitness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newWitnessRig(t)
		early := r.ask(7, r.voters, r.need)
		wantOpen(t, early) // raft has sent nothing in this term: its header is not known
		r.send("s3")
		r.answers(7, "s2")
		wantAnswer(t, early, true)

		// While one message is under way, all who ask share the next one.
		r.answers(0, "s2")
		var waiting []*Question
		waiting = append(waiting, r.ask(7, r.voters, r.need))
		synctest.Wait()
		before := r.sent.Load()
		for range 100 {
			waiting = append(waiting, r.ask(7, r.voters, r.need))
		}
		answer := r.send("s3")
		wantOpen(t, waiting[0])
		if sent := r.sent.Load() - before; sent != 0 {
			t.Errorf("sent %d messages beside those under way", sent)
		}
		answer(7)
		for _, q := range waiting {
			wantAnswer(t, q, true)
		}
		if len(r.open) > 0 {
			t.Errorf("%d questions are left", len(r.open))
		}

		// A new term ends what was asked in an older one.
		late := r.ask(7, r.voters, r.need)
		r.sending("s2", &raft.AppendEntriesRequest{Term: 8})
		wantAnswer(t, late, false)
		if alone := r.ask(8, nil, 0); len(alone.done) != 1 {
			t.Error("a single voter waits for somebody")
		}
	})
}

// TestWitnessOldAnswer: s2 takes a message, then votes for another leader; its answer is late.
func TestWitnessOldAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newWitnessRig(t)
		old := r.send("s2")
		r.answers(8, "s3") // it voted too, and its answer is on its way
		hears := make(chan struct{})
		say := r.witness.send
		r.witness.send = func(id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
			<-hears
			return say(id, at, args, resp)
		}
		q := r.ask(7, r.voters, r.need)
		old(7)
		wantOpen(t, q)
		close(hears)
		wantAnswer(t, q, false)
	})
}

// TestWitnessSpare: a member without a vote answers, and no voter does.
func TestWitnessSpare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newWitnessRig(t)
		r.answers(7, "s4")
		r.send("s4")(7)
		q := r.ask(7, r.voters, r.need)
		r.send("s4")(7)
		wantOpen(t, q)
		r.send("s3")(7)
		wantAnswer(t, q, true)
	})
}

// TestElectorate counts with and without the vote of the node itself.
func TestElectorate(t *testing.T) {
	t.Parallel()
	voters := []raft.Server{{ID: "s1"}, {ID: "s2"}, {ID: "s3"}}
	for _, tc := range []struct {
		self         raft.ServerID
		servers      []raft.Server
		others, need int
	}{
		{"s1", voters[:1], 0, 0},
		{"s1", voters[:2], 1, 1},
		{"s1", voters, 2, 1},
		{"s4", voters, 3, 2}, // removed, or without a vote any more
		{"s1", nil, 0, 1},    // nobody knows: never
	} {
		if others, need := Electorate(tc.servers, tc.self); len(others) != tc.others || need != tc.need {
			t.Errorf("%s of %v: %d of %v", tc.self, tc.servers, need, others)
		}
	}
}
