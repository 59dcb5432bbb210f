package cluster

import (
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/cluster/peer"
)

// scribe is a state machine that remembers what it was given.
type scribe struct {
	mu   sync.Mutex
	told []string // guarded by mu
}

func (s *scribe) Apply(l *raft.Log) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, string(l.Data))
	return nil
}

func (s *scribe) applied() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

func (*scribe) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (*scribe) Restore(io.ReadCloser) error         { return nil }

// memoryLink is a link within this process.
type memoryLink struct {
	*raft.InmemTransport
	peer.Watch // nobody is watched
}

// TestCommitsOnlyWhatIsProven: a follower with an entry that an earlier leader never committed
// hears from the next one, which has committed more than it sends. The entry is not applied.
func TestCommitsOnlyWhatIsProven(t *testing.T) {
	t.Parallel()
	f := follow(t, logEntry(1, 1, "z"), logEntry(2, 1, "a"), logEntry(3, 1, "never committed"))
	for _, q := range []raft.AppendEntriesRequest{
		{PrevLogEntry: 2, PrevLogTerm: 1},
		{PrevLogEntry: 1, PrevLogTerm: 1, Entries: []*raft.Log{logEntry(2, 1, "a")}},
		{PrevLogEntry: 2, PrevLogTerm: 1, Entries: []*raft.Log{logEntry(3, 2, "b"), logEntry(4, 2, "c")}},
	} {
		q.LeaderCommitIndex = 4
		if !f.say(&q) {
			t.Fatalf("append after %d is refused", q.PrevLogEntry)
		}
	}
	eventually(t, "the last entry is applied", func() bool { return slices.Contains(f.machine.applied(), "c") })
	if got, want := f.machine.applied(), []string{"z", "a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("applied %q, want %q", got, want)
	}
}
