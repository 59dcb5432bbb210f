package wire

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestMeantForAnother: what is sent to a scheduler that is gone does not reach the one that
// took its address.
func TestMeantForAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	heir, accepted := r.stream("s1-new")
	peer, _ := r.stream("s2")
	if conn, err := peer.Dial(to("s1-old", heir), 5*time.Second); err == nil {
		closeQuietly(conn)
		t.Error("it answers in another one's name")
	}
	nobody := r.clientTLS(r.issue(schedulerID("s3")))
	conn, err := tls.Dial("tcp", heir.listener.Addr().String(), nobody)
	if err == nil {
		defer closeQuietly(conn)
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a connection for nobody in particular is open")
		}
	}
	right, err := peer.Dial(to("s1-new", heir), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(right)
	<-accepted
	select {
	case <-accepted:
		t.Error("more than one connection reached raft")
	default:
	}
}

// TestVoteIsNotAskedOfAnother goes through raft's transport: its pool keeps members apart
// that share an address.
func TestVoteIsNotAskedOfAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	heir, _ := r.link("s1-new")
	asker, _ := r.link("s2")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		for {
			select {
			case rpc := <-heir.Consumer():
				rpc.Respond(&raft.RequestVoteResponse{Granted: true}, nil)
			case <-ctx.Done():
				return
			}
		}
	}()
	at := raft.ServerAddress(heir.stream.listener.Addr().String())
	var resp raft.RequestVoteResponse
	if err := asker.RequestVote("s1-new", at, &raft.RequestVoteRequest{}, &resp); err != nil || !resp.Granted {
		t.Fatalf("the one that is meant: %v, %v", resp.Granted, err)
	}
	resp = raft.RequestVoteResponse{}
	if err := asker.RequestVote("s1-old", at, &raft.RequestVoteRequest{}, &resp); err == nil || resp.Granted {
		t.Errorf("the one that is gone: %v, %v", resp.Granted, err)
	}
	client := r.clientTLS(r.issue(schedulerID("s3")))
	if !Answers(t.Context(), client, "s1-new", string(at)) || Answers(t.Context(), client, "s1-old", string(at)) {
		t.Error("who answers is not who is there")
	}
}
