package peer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// told is what a herald sent.
type told struct {
	id   raft.ServerID
	args raft.AppendEntriesRequest
}

// heraldRig is a herald whose messages are kept and answered.
type heraldRig struct {
	*herald
	mu     sync.Mutex
	sent   []told
	refuse error
}

func newHeraldRig(t *testing.T) *heraldRig {
	t.Helper()
	r := &heraldRig{}
	r.herald = newHerald(func(id raft.ServerID, _ raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sent = append(r.sent, told{id, *args})
		resp.Success, resp.Term = true, args.Term
		return r.refuse
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.run(ctx, wg.Go) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

// append is a message of raft's with one entry, confirmed.
func (r *heraldRig) append(id raft.ServerID, term, index, commit uint64) {
	args := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ID: []byte("s1")}, Term: term, PrevLogEntry: index - 1, Entries: []*raft.Log{{Index: index}}, LeaderCommitIndex: commit,
	}
	r.sending(id, "addr", args)(&raft.AppendEntriesResponse{Term: term, Success: true}, nil)
}

// quiet waits until nothing happens any more and returns what was sent since the last call.
func (r *heraldRig) quiet() []told {
	time.Sleep(10 * heraldAfter) // in a bubble
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

func TestHerald(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newHeraldRig(t)
		r.committed(4, 7) // nobody is sent anything here: it does not lead
		r.append("s2", 7, 5, 4)
		r.committed(5, 7)
		sent := r.quiet()
		if len(sent) != 1 || sent[0].id != "s2" {
			t.Fatalf("sent %+v", sent)
		}
		a := sent[0].args
		if a.Term != 7 || a.PrevLogEntry != 5 || a.PrevLogTerm != 7 || a.LeaderCommitIndex != 5 || len(a.Entries) != 0 || string(a.ID) != "s1" {
			t.Errorf("sent %+v", a)
		}
		if sent := r.quiet(); len(sent) != 0 {
			t.Errorf("it was told twice: %+v", sent)
		}

		// The next entry tells it.
		r.append("s2", 7, 6, 5)
		r.committed(6, 7)
		r.append("s2", 7, 7, 6)
		if sent := r.quiet(); len(sent) != 0 {
			t.Errorf("it was told what it knew: %+v", sent)
		}
		// One that confirms late is told then.
		r.committed(7, 7)
		r.append("s3", 7, 7, 5)
		if sent := r.quiet(); len(sent) != 2 {
			t.Errorf("sent %+v", sent)
		}
		// What it does not hold it is not told of, nor of what another leader's term committed.
		r.append("s2", 7, 8, 7)
		r.append("s2", 8, 9, 7)
		r.committed(8, 7)
		if sent := r.quiet(); len(sent) != 0 {
			t.Errorf("sent %+v", sent)
		}
	})
}

// TestHeraldLeavesIt to raft when a follower does not answer.
func TestHeraldLeavesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newHeraldRig(t)
		r.refuse = errors.New("cut")
		r.append("s2", 7, 5, 4)
		r.committed(5, 7)
		if sent := r.quiet(); len(sent) != 1 {
			t.Errorf("sent %d times", len(sent))
		}
		r.committed(6, 7)
		if sent := r.quiet(); len(sent) != 0 {
			t.Errorf("sent %+v", sent)
		}
		r.refuse = nil
		r.append("s2", 7, 6, 5)
		if sent := r.quiet(); len(sent) != 1 {
			t.Errorf("sent %+v", sent)
		}
	})
}
