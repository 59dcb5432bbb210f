package cluster

import (
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
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
	Watch // nobody is watched
}

// TestCommitsOnlyWhatIsProven: a follower with an entry that an earlier leader never committed
// hears from the next one, which has committed more than it sends. The entry is not applied.
func TestCommitsOnlyWhatIsProven(t *testing.T) {
	t.Parallel()
	const self, leader = "s1", "s2"
	store := raft.NewInmemStore()
	addr, inner := raft.NewInmemTransport("")
	leaderAddr, out := raft.NewInmemTransport("")
	out.Connect(addr, inner)
	conf := raft.DefaultConfig()
	conf.LocalID, conf.Logger = self, hclog.NewNullLogger()
	conf.HeartbeatTimeout, conf.ElectionTimeout = time.Hour, time.Hour // it follows
	members := raft.Configuration{Servers: []raft.Server{
		{ID: self, Address: addr}, {ID: leader, Address: leaderAddr}, {ID: "s3", Address: "nowhere"},
	}}
	snaps := raft.NewInmemSnapshotStore()
	if err := raft.BootstrapCluster(conf, store, store, snaps, inner, members); err != nil {
		t.Fatal(err)
	}
	entry := func(index, term uint64, text string) *raft.Log {
		return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: []byte(text)}
	}
	if err := store.StoreLogs([]*raft.Log{entry(2, 1, "a"), entry(3, 1, "never committed")}); err != nil {
		t.Fatal(err)
	}
	tr := newTransport(memoryLink{InmemTransport: inner}, clock.System())
	machine := &scribe{}
	r, err := raft.NewRaft(conf, machine, store, store, snaps, tr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Shutdown().Error(); err != nil {
			t.Error(err)
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, q := range []raft.AppendEntriesRequest{
		{PrevLogEntry: 2, PrevLogTerm: 1},
		{PrevLogEntry: 1, PrevLogTerm: 1, Entries: []*raft.Log{entry(2, 1, "a")}},
		{PrevLogEntry: 2, PrevLogTerm: 1, Entries: []*raft.Log{entry(3, 2, "b"), entry(4, 2, "c")}},
	} {
		q.RPCHeader = raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader), Addr: []byte(leaderAddr)}
		q.Term, q.LeaderCommitIndex = 2, 4
		var resp raft.AppendEntriesResponse
		if err := out.AppendEntries(self, addr, &q, &resp); err != nil || !resp.Success {
			t.Fatalf("append after %d: %+v, %v", q.PrevLogEntry, resp, err)
		}
	}
	eventually(t, "the last entry is applied", func() bool { return slices.Contains(machine.applied(), "c") })
	if got, want := machine.applied(), []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("applied %q, want %q", got, want)
	}
}
