package wire

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestHold: a held connection says that the process at its end is gone, and which it was.
func TestHold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	leader, cert := r.link("s1")
	follower, _ := r.link("s2")
	at := raft.ServerAddress(leader.stream.listener.Addr().String())

	if _, ended := follower.Hold(t.Context(), "127.0.0.1:1", func() { t.Error("nothing was held") }); ended {
		t.Error("what never stood has ended")
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, ended := follower.Hold(ctx, at, cancel); ended {
		t.Error("the end of the context was taken for the leader's")
	}
	if follower.Refused(t.Context(), at) {
		t.Error("an address that takes connections is taken for a dead one's")
	}

	type end struct {
		process string
		ended   bool
	}
	held, over := make(chan struct{}), make(chan end, 1)
	go func() {
		process, ended := follower.Hold(t.Context(), at, func() { close(held) })
		over <- end{process, ended}
	}()
	<-held
	closeQuietly(leader) // it dies
	var e end
	select {
	case e = <-over:
	case <-t.Context().Done():
		t.Fatal("the watch never ended")
	}
	if want := (end{string(cert.Leaf.RawSubjectPublicKeyInfo), true}); e != want {
		t.Errorf("the watch ended with %q, %v", e.process, e.ended)
	}
	if !follower.Refused(t.Context(), at) {
		t.Error("the address still takes connections")
	}
	if !follower.Gone(t.Context(), e.process, time.Millisecond) {
		t.Error("a process that holds no connection is not gone")
	}
}
