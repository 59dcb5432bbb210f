package cluster

import (
	"fmt"
	"runtime"

	"github.com/hashicorp/raft"
)

// A snapshot that is older than the end of a follower's log empties the log, and raft (v1.8.0)
// still takes the old end for its own: it confirms what it does not hold, and panics when it is to
// apply it.

// emptied is raft's log, which ends the node when a snapshot empties it that is older than its
// end. It starts again with what is on its disk: the snapshot and an empty log.
type emptied struct {
	*raft.LogCache
	snaps raft.SnapshotStore
	ended func(error) // ends raft too
}

// IsMonotonic is asked when a snapshot was installed or restored, and the log is to be emptied.
func (l *emptied) IsMonotonic() bool {
	if !l.LogCache.IsMonotonic() {
		return false
	}
	if err := l.empty(); err != nil {
		l.ended(err)
		runtime.Goexit() // as in stable.must
	}
	return true
}

func (l *emptied) empty() error {
	list, err := l.snaps.List()
	if err != nil || len(list) == 0 {
		return fmt.Errorf("look for the snapshot that was taken: %d found: %w", len(list), err)
	}
	first, err := l.FirstIndex()
	if err != nil {
		return fmt.Errorf("look for the first log entry: %w", err)
	}
	last, err := l.LastIndex()
	if err != nil {
		return fmt.Errorf("look for the last log entry: %w", err)
	}
	if last <= list[0].Index {
		return nil
	}
	if err := l.DeleteRange(first, last); err != nil {
		return fmt.Errorf("empty the log: %w", err)
	}
	return &EmptiedError{Last: last, Snapshot: list[0].Index}
}

// EmptiedError is why a node must start again: raft would go on as if its log still were as
// long as it was.
type EmptiedError struct{ Last, Snapshot uint64 }

// Error says both ends.
func (e *EmptiedError) Error() string {
	return fmt.Sprintf("the leader's snapshot ends at entry %d and replaced a log that ended at %d with what was never committed: start this scheduler again", e.Snapshot, e.Last)
}
