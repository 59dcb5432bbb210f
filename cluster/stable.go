package cluster

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/mutant"
)

// stable is raft's stable store as this node lives with it: raft panics when its term or its
// vote cannot be saved. The node must end then, but it can say why: the goroutine of raft's
// that asked ends here, which raft's own shutdown takes for done, and nothing of it goes on
// with a term that is on no disk.
type stable struct {
	raft.StableStore
	failed func(error) // ends raft too: its main loop answers nobody any more
}

// Set saves a value, or does not return.
func (s stable) Set(key, value []byte) error {
	return s.must(key, s.StableStore.Set(key, value))
}

// SetUint64 saves a number, or does not return.
func (s stable) SetUint64(key []byte, value uint64) error {
	if mutant.On(mutant.ForgetVote) && string(key) == "LastVoteTerm" {
		return nil
	}
	return s.must(key, s.StableStore.SetUint64(key, value))
}

func (s stable) must(key []byte, err error) error {
	if err != nil {
		s.failed(fmt.Errorf("save %s of raft: %w", key, err))
		runtime.Goexit()
	}
	return nil
}

// errUnsaved is why raft did not start; what the node failed with says more.
var errUnsaved = errors.New("raft's term cannot be saved")

// newRaft starts raft, which saves its term at once. It does so in a goroutine of its own: where
// that fails the goroutine ends, and not whoever opens the node.
func (n *Node) newRaft(log *raft.LogCache, s *Storage) (*raft.Raft, error) {
	var r *raft.Raft
	err := errUnsaved
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, err = raft.NewRaft(n.raftConfig(), n.machine, &emptied{log, s.Snapshots, n.unsaved}, stable{s.Stable, n.unsaved}, s.Snapshots, n.trans)
	}()
	<-done
	if err == nil {
		n.trans.Serve(r)
	}
	return r, err
}

// unsaved ends the node whose raft has lost its main loop, and raft with it: whoever waits for its main loop is told.
func (n *Node) unsaved(err error) {
	n.Fail(err)
	if n.opened.Load() {
		n.endRaft()
	}
}

// endRaft begins the end of raft; the future of the first call is the one that waits for it.
func (n *Node) endRaft() raft.Future {
	n.raftOnce.Do(func() {
		n.raftEnd = n.raft.Shutdown()
		close(n.raftEnds)
	})
	return n.raftEnd
}
