package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// voter is a scheduler that gives every vote it is asked for, once all that it is to wait for
// have asked.
func (r *rig) voter(bind string, together int) (l *Link, stop func()) {
	r.t.Helper()
	cert := r.issue(schedulerID("s1"))
	l, err := Open(Config{
		Node: "s1", Bind: bind, Advertise: "127.0.0.1:1", Server: r.serverTLS(cert), Client: r.clientTLS(cert), Log: hclog.NewNullLogger(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		var waiting []raft.RPC
		for {
			select {
			case rpc := <-l.Consumer():
				if waiting = append(waiting, rpc); len(waiting) < together {
					continue
				}
				for _, w := range waiting {
					w.Respond(&raft.RequestVoteResponse{Granted: true}, nil)
				}
				waiting = nil
			case <-ctx.Done():
				return
			}
		}
	})
	return l, sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		closeQuietly(l)
	})
}

// TestVoteOfOneThatCameBack: a scheduler that was started again gives its vote to whoever has
// connections to the process before it.
func TestVoteOfOneThatCameBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	asker, _ := r.link("s2")
	before, stop := r.voter("127.0.0.1:0", maxPool)
	defer stop()
	at := raft.ServerAddress(before.stream.listener.Addr().String())
	errs := make([]error, maxPool)
	var wg sync.WaitGroup
	for i := range errs { // all at the same time: each has a connection of its own
		wg.Go(func() {
			errs[i] = asker.RequestVote("s1", at, &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	stop()
	_, stop = r.voter(string(at), 1)
	defer stop()
	var resp raft.RequestVoteResponse
	if err := asker.RequestVote("s1", at, &raft.RequestVoteRequest{}, &resp); err != nil || !resp.Granted {
		t.Errorf("the one that came back is asked in vain: %v, %v", resp.Granted, err)
	}
}

// TestAgain: a connection that was ended is followed by another, an answer by none.
func TestAgain(t *testing.T) {
	refused, errEnd := errors.New("refused"), fmt.Errorf("read answer: %w", io.EOF)
	for _, tt := range []struct {
		name string
		errs []error
		want error
		sent int
	}{
		{"answered", []error{nil}, nil, 1},
		{"refused", []error{refused}, refused, 1},
		{"one old connection", []error{errEnd, nil}, nil, 2},
		{"a pool of old ones", []error{errEnd, errEnd, errEnd, errEnd, nil}, nil, maxPool + 1},
		{"a process that ends every time", []error{errEnd, errEnd, errEnd, errEnd, errEnd, nil}, errEnd, maxPool + 1},
	} {
		sent := 0
		err := again(func() error {
			sent++
			return tt.errs[sent-1]
		})
		if !errors.Is(err, tt.want) || sent != tt.sent {
			t.Errorf("%s: %v after %d tries", tt.name, err, sent)
		}
	}
}
