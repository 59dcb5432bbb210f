package cluster

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// sink keeps a snapshot in memory.
type sink struct {
	bytes.Buffer
	fails             bool
	closed, cancelled int
}

func (s *sink) Write(p []byte) (int, error) {
	if s.fails {
		return 0, errSink
	}
	return s.Buffer.Write(p)
}

func (s *sink) ID() string    { return "snap" }
func (s *sink) Close() error  { s.closed++; return nil }
func (s *sink) Cancel() error { s.cancelled++; return nil }

func newMachine() *machine {
	return &machine{Machine: fsm.New(fsm.Options{Log: hclog.NewNullLogger()})}
}

func filled(t *testing.T) *machine {
	t.Helper()
	m := newMachine()
	m.Apply(command(t, 1, fsm.InitCluster{ClusterID: "g-test"}))
	for i := range 200 {
		m.Apply(command(t, uint64(i+2), fsm.CreateTenant{Actor: "operator/root", Tenant: api.TenantID("t" + string(rune('a'+i%26)) + string(rune('a'+i/26))), Quota: api.NoQuota()}))
	}
	return m
}

func TestSnapshotRoundTrip(t *testing.T) {
	m := filled(t)
	if m.bytes.Load() == 0 {
		t.Fatal("no bytes counted")
	}
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if m.bytes.Load() != 0 {
		t.Error("the bytes are still counted")
	}
	var out, plain sink
	if err := s.Persist(&out); err != nil || out.closed != 1 || out.cancelled != 0 {
		t.Fatalf("closed %d, cancelled %d: %v", out.closed, out.cancelled, err)
	}
	if err := m.View().WriteSnapshot(&plain); err != nil {
		t.Fatal(err)
	}
	if out.Len() >= plain.Len() {
		t.Errorf("%d bytes from %d", out.Len(), plain.Len())
	}
	other := newMachine()
	if err := other.Restore(io.NopCloser(bytes.NewReader(out.Bytes()))); err != nil {
		t.Fatal(err)
	}
	if got, want := other.View().Fingerprint(), m.View().Fingerprint(); got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
	if err := other.WaitIndex(t.Context(), m.View().Index()); err != nil {
		t.Error(err)
	}
	if one, two := m.held.Load(), other.held.Load(); one != int64(plain.Len()) || two != one {
		t.Errorf("written with %d bytes and restored with %d, want %d", one, two, plain.Len())
	}
}

// TestSnapshotsFollowTheState: a log that grows by what was asked for is worth a snapshot of a small
// state; of a large one it must grow by more, within a bound.
func TestSnapshotsFollowTheState(t *testing.T) {
	const base = 64 << 20
	for _, tt := range []struct{ held, want int64 }{
		{0, base}, {base / snapshotHeld, base}, {base, snapshotHeld * base}, {1 << 40, snapshotMost * base},
	} {
		n := &Node{cfg: Config{SnapshotBytes: base}, machine: newMachine()}
		n.machine.held.Store(tt.held)
		if got := n.enough(); got != tt.want {
			t.Errorf("after a snapshot of %d bytes the log grows by %d, want %d", tt.held, got, tt.want)
		}
	}
}

// TestSnapshotsInTurn: no two members write a snapshot after the same growth of the log, and none after
// more than is enough or less than three quarters of it.
func TestSnapshotsInTurn(t *testing.T) {
	all := []raft.Server{{ID: "s3"}, {ID: "s1"}, {ID: "s2"}}
	for self, want := range map[raft.ServerID]int64{"s1": 1200, "s2": 1100, "s3": 1000} {
		if got := inTurn(1200, self, all); got != want {
			t.Errorf("%s: %d, want %d", self, got, want)
		}
	}
	if got := inTurn(1200, "s1", nil); got != 1200 { // a node that knows no members yet
		t.Errorf("alone: %d", got)
	}
	if got := inTurn(1<<40, "z", []raft.Server{{ID: "a"}}); got != 3<<38 {
		t.Errorf("behind all: %d", got)
	}
}

// TestSnapshotFails: nothing is made durable, and the log is as long as it was.
func TestSnapshotFails(t *testing.T) {
	m := filled(t)
	before := m.bytes.Load()
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	out := sink{fails: true}
	if err := s.Persist(&out); !errors.Is(err, errSink) || out.closed != 0 || out.cancelled != 1 {
		t.Errorf("closed %d, cancelled %d: %v", out.closed, out.cancelled, err)
	}
	if got := m.bytes.Load(); got != before {
		t.Errorf("%d bytes counted, want %d", got, before)
	}
}

// TestSnapshotDamaged: one that is cut or altered anywhere is refused and changes nothing.
func TestSnapshotDamaged(t *testing.T) {
	m := filled(t)
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var out sink
	if err := s.Persist(&out); err != nil {
		t.Fatal(err)
	}
	other := filled(t)
	want := other.View().Fingerprint()
	for i := range out.Len() {
		cut := out.Bytes()[:i]
		if err := other.Restore(io.NopCloser(bytes.NewReader(cut))); err == nil {
			t.Fatalf("took %d of %d bytes", i, out.Len())
		}
		flipped := bytes.Clone(out.Bytes())
		flipped[i] ^= 1
		if err := other.Restore(io.NopCloser(bytes.NewReader(flipped))); err == nil {
			if got := other.View().Fingerprint(); got != want {
				t.Fatalf("byte %d altered: taken, and the state is another", i)
			}
		}
	}
	if got := other.View().Fingerprint(); got != want {
		t.Error("a refused snapshot changed the state")
	}
}

// TestMachineStops: an entry that cannot be read is not done, and nothing after it.
func TestMachineStops(t *testing.T) {
	m := filled(t)
	at := m.View().Index()
	if _, failed := m.Apply(&raft.Log{Index: at + 1, Type: raft.LogCommand, Data: []byte("?")}).(error); !failed {
		t.Fatal("taken")
	}
	m.StoreConfiguration(at+2, raft.Configuration{})
	if err := m.WaitIndex(t.Context(), at); err != nil {
		t.Error(err)
	}
	if err := m.WaitIndex(t.Context(), at+1); err == nil {
		t.Error("what could not be read is done")
	}
}
