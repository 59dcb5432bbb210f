package cluster

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cluster/peer"
)

// monotonicStore is a log in memory that is emptied when a snapshot is taken.
type monotonicStore struct{ *raft.InmemStore }

func (monotonicStore) IsMonotonic() bool { return true }

// followed is a follower, and the requests of its leader.
type followed struct {
	t       *testing.T
	store   monotonicStore
	machine *scribe
	raft    *raft.Raft
	ended   chan error
	say     func(q any) (success bool)
}

const followedTerm = 2

// follow starts a follower whose log is entries.
func follow(t *testing.T, entries ...*raft.Log) *followed {
	t.Helper()
	const self, leader = "s1", "s2"
	f := &followed{t: t, store: monotonicStore{raft.NewInmemStore()}, machine: &scribe{}, ended: make(chan error, 1)}
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
	if err := f.store.StoreLogs(entries); err != nil {
		t.Fatal(err)
	}
	cache, err := raft.NewLogCache(64, f.store)
	if err != nil {
		t.Fatal(err)
	}
	tr := peer.New(memoryLink{InmemTransport: inner}, clock.System(), hclog.NewNullLogger(), func() {})
	f.raft, err = raft.NewRaft(conf, f.machine, &emptied{cache, snaps, func(err error) { f.ended <- err }}, f.store, snaps, tr)
	if err != nil {
		t.Fatal(err)
	}
	tr.Serve(f.raft)
	t.Cleanup(func() {
		if err := f.raft.Shutdown().Error(); err != nil {
			t.Error(err)
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader), Addr: []byte(leaderAddr)}
	f.say = func(q any) bool {
		t.Helper()
		switch q := q.(type) {
		case *raft.AppendEntriesRequest:
			var a raft.AppendEntriesResponse
			q.RPCHeader, q.Term = header, followedTerm
			err := out.AppendEntries(self, addr, q, &a)
			return err == nil && a.Success
		case *raft.InstallSnapshotRequest:
			var a raft.InstallSnapshotResponse
			q.RPCHeader, q.Term, q.SnapshotVersion, q.Configuration = header, followedTerm, raft.SnapshotVersionMax, raft.EncodeConfiguration(members)
			err := out.InstallSnapshot(self, addr, q, &a, bytes.NewReader(nil))
			return err == nil && a.Success
		}
		t.Fatalf("what is a %T", q)
		return false
	}
	return f
}

func logEntry(index, term uint64, text string) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: []byte(text)}
}

// TestRepeatedBehindSnapshot: the answer to the first append behind a snapshot is lost, and the
// append comes again.
func TestRepeatedBehindSnapshot(t *testing.T) {
	t.Parallel()
	f := follow(t)
	snap := raft.InstallSnapshotRequest{LastLogIndex: 5, LastLogTerm: 1}
	if !f.say(&snap) {
		t.Fatal("the snapshot is not taken")
	}
	behind := func(commit uint64, texts ...string) *raft.AppendEntriesRequest {
		q := raft.AppendEntriesRequest{PrevLogEntry: 5, PrevLogTerm: 1, LeaderCommitIndex: commit}
		for i, text := range texts {
			q.Entries = append(q.Entries, logEntry(6+uint64(i), followedTerm, text))
		}
		return &q
	}
	for _, q := range []*raft.AppendEntriesRequest{
		behind(5, "a", "b"), behind(5, "a", "b"), behind(6, "a"), behind(6), behind(7, "a", "b", "c"), behind(8, "a", "b", "c"),
	} {
		if !f.say(q) {
			t.Errorf("%d entries behind the snapshot are refused", len(q.Entries))
		}
	}
	eventually(t, "the last entry is applied", func() bool { return slices.Contains(f.machine.applied(), "c") })
	if got, want := f.machine.applied(), []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("applied %q, want %q", got, want)
	}
	if last, err := f.store.LastIndex(); err != nil || last != 8 {
		t.Errorf("the log ends at %d, %v", last, err)
	}
	if f.say(&raft.AppendEntriesRequest{PrevLogEntry: 8, PrevLogTerm: 1}) {
		t.Error("what is behind an entry of another term is taken")
	}
}

// TestSnapshotOlderThanLog: the node ends, and confirms nothing that it does not hold any more.
func TestSnapshotOlderThanLog(t *testing.T) {
	t.Parallel()
	f := follow(t, logEntry(1, 1, "a"), logEntry(2, 1, "never committed"), logEntry(3, 1, "neither"))
	snap := raft.InstallSnapshotRequest{LastLogIndex: 2, LastLogTerm: followedTerm}
	if f.say(&snap) {
		t.Error("it goes on")
	}
	var err error
	select {
	case err = <-f.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the node does not end")
	}
	if e, ok := errors.AsType[*EmptiedError](err); !ok || e.Last != 3 || e.Snapshot != 2 {
		t.Errorf("it ended with %v", err)
	}
	if last, err := f.store.LastIndex(); err != nil || last != 0 {
		t.Errorf("the log ends at %d, %v", last, err)
	}
}
