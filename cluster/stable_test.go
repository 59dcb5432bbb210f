package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// fullStable is a stable store whose disk takes nothing.
type fullStable struct{ raft.StableStore }

// SetUint64 saves nothing.
func (fullStable) SetUint64([]byte, uint64) error { return errSink }

// TestOpenOnFullDisk: a node that cannot save its term does not open, and says why; whoever
// opens it goes on.
func TestOpenOnFullDisk(t *testing.T) {
	r := newRigOf(t, 1)
	s := r.seats[0]
	s.close()
	c := s.config()
	storage := c.Storage
	c.Storage = func(d Disk) (*Storage, error) {
		kept, err := storage(d)
		if err == nil {
			kept.Stable = fullStable{kept.Stable}
		}
		return kept, err
	}
	done := make(chan error)
	go func() {
		defer close(done)
		_, err := Open(t.Context(), c)
		done <- err
	}()
	if err, open := <-done; !open || !errors.Is(err, errSink) {
		t.Errorf("opening on a full disk ended with %v (returned: %v)", err, open)
	}
	s.open() // it left nothing behind: the address and the files are free
}

// fillingStable is a stable store whose disk takes nothing any more once it is full.
type fillingStable struct {
	raft.StableStore
	full *atomic.Bool
}

// SetUint64 saves a number while there is room.
func (s fillingStable) SetUint64(key []byte, v uint64) error {
	if s.full.Load() {
		return errSink
	}
	return s.StableStore.SetUint64(key, v)
}

// TestStopsWithoutItsMainLoop: raft's main loop ends when it cannot save a term. Whoever waited
// for it then is answered, and the node can be stopped.
func TestStopsWithoutItsMainLoop(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	r := newRigOf(t, 1, func(c *Config) {
		storage := c.Storage
		c.Storage = func(d Disk) (*Storage, error) {
			kept, err := storage(d)
			if err == nil {
				kept.Stable = fillingStable{kept.Stable, &full}
			}
			return kept, err
		}
	})
	n := r.leader().node
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	full.Store(true)
	if err := n.trans.StartElection(ctx, n.header()); err != nil {
		t.Logf("stand again, for a term that cannot be saved: %v", err)
	}
	select {
	case <-n.Failed():
	case <-ctx.Done():
		t.Fatal("it goes on")
	}
	// Some of them get into the queue that nobody reads.
	gave := make(chan error, 1)
	go func() {
		for range 10 {
			if err := n.handOver(n.raft.LeadershipTransfer); err == nil {
				gave <- nil
				return
			}
		}
		gave <- errUnsaved
	}()
	removed := make(chan error, 1)
	go func() { removed <- n.raft.RemoveServer("nobody", 0, 0).Error() }()
	for _, c := range []chan error{gave, removed} {
		select {
		case err := <-c:
			if err == nil {
				t.Error("done by nobody")
			}
		case <-ctx.Done():
			t.Fatal("it waits for a main loop that has ended")
		}
	}
}
