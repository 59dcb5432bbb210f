package cluster

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// state is a snapshot of a view, as an archive has it.
func state(t *testing.T, v *fsm.View) *bytes.Reader {
	t.Helper()
	var b bytes.Buffer
	if err := writeState(&b, v, nil); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

// TestRestore takes a running cluster back, all of it, and once.
func TestRestore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	r.wantRead("a")
	saved := r.leader().machine.View()
	r.write("b")
	r.wantRead("a b")

	restore := func(q Restore) (report *api.RestoreReport, err error) {
		eventually(t, "a restore", func() bool {
			q.State = state(t, saved)
			report, err = r.leader().node.Restore(t.Context(), q)
			return api.KindOf(err) != api.NoLeader
		})
		return report, err
	}
	dry, err := restore(Restore{ID: "rst-1", DryRun: true})
	if err != nil || !dry.DryRun || dry.Before.Tenants != 2 || dry.Snapshot.Tenants != 1 || dry.Index != 0 {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	r.wantRead("a b")
	index := r.leader().machine.View().Index()
	for range 2 {
		done, err := restore(Restore{ID: "rst-1", Digest: strings.Repeat("a", 64), Actor: "operator/root", Index: saved.Index(), Term: 2})
		if err != nil || done.Index <= index || done.Recovery != "rst-1-aaaaaaaaaaaaaaaa" {
			t.Fatalf("restore: %+v, %v", done, err)
		}
	}
	// Another archive under the same id is another request, dry or not.
	for _, dry := range []bool{true, false} {
		if _, err := restore(Restore{ID: "rst-1", Digest: strings.Repeat("b", 64), DryRun: dry}); api.KindOf(err) != api.Conflict {
			t.Errorf("another archive, dry run %v: %v", dry, err)
		}
	}
	r.leader()
	r.wantRead("a")
	r.write("c")
	r.wantRead("a c")
	want := r.leader().machine.View()
	if want.ClusterEpoch() != 1 {
		t.Errorf("cluster epoch %d", want.ClusterEpoch())
	}
	for _, s := range r.seats {
		eventually(t, "the same state on "+string(s.name), func() bool {
			v := s.machine.View()
			return v.Index() >= want.Index() && v.ClusterEpoch() == 1
		})
		if tail := s.tail(); len(tail) != 1 || tail[0].Kind != "cluster_recovered" {
			t.Errorf("%s was given the records %+v", s.name, tail)
		}
	}
	// Once more, from the same file: an epoch of its own again.
	if _, err := restore(Restore{ID: "rst-2", Index: saved.Index(), Term: 2}); err != nil {
		t.Fatal(err)
	}
	r.leader()
	r.wantRead("a")
	if got := r.leader().machine.View().ClusterEpoch(); got != 2 {
		t.Errorf("cluster epoch %d", got)
	}
	// Of another cluster, or not readable: nothing is changed.
	foreign := fsm.New(fsm.Options{Log: hclog.NewNullLogger()})
	foreign.Apply(command(t, 1, fsm.InitCluster{ClusterID: "g-other"}))
	if _, err := r.leader().node.Restore(t.Context(), Restore{ID: "rst-3", State: state(t, foreign.View())}); api.KindOf(err) != api.Conflict {
		t.Errorf("another cluster's: %v", err)
	}
	if _, err := r.leader().node.Restore(t.Context(), Restore{ID: "rst-4", State: bytes.NewReader([]byte("no state"))}); err == nil {
		t.Error("what is no state was taken")
	}
	if _, err := r.others(r.leader())[0].node.Restore(t.Context(), Restore{ID: "rst-5"}); api.KindOf(err) != api.NoLeader {
		t.Errorf("on a follower: %v", err)
	}
	r.wantRead("a")
}

// pastLevel is a state of feature level 3, as the build with the tag nextlevel writes it
// (restore_next_test.go).
const pastLevel = "testdata/level3.state"

// TestRestoreOfNewerRelease: a state of a feature level that this release does not know is refused
// for what it is, and changes nothing.
func TestRestoreOfNewerRelease(t *testing.T) {
	t.Parallel()
	if fsm.NewestLevel > 2 {
		t.Skip("this build knows the level")
	}
	b, err := os.ReadFile(pastLevel)
	if err != nil {
		t.Fatal(err)
	}
	r := newRigOf(t, 1)
	r.write("a")
	_, err = r.leader().node.Restore(t.Context(), Restore{ID: "rst-1", State: bytes.NewReader(b)})
	p, is := api.AsError(err)
	if !is || p.Kind != api.Conflict || !strings.Contains(p.Detail, "feature level 3") || !strings.Contains(p.Hint, "newest release") {
		t.Errorf("got %v", err)
	}
	r.wantRead("a")
}

// TestUnfinishedRestore: the leader is alone when it takes the state back, and dies. The others
// never heard of it; when it returns, it has a past that they do not share.
func TestUnfinishedRestore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	saved := state(t, r.leader().machine.View())
	r.write("b")
	r.wantRead("a b")
	old := r.leader()
	for _, s := range r.others(old) {
		s.kill()
	}
	aside := &machine{Machine: fsm.New(fsm.Options{Log: hclog.NewNullLogger()})}
	if err := aside.Restore(nopCloser{saved}); err != nil {
		t.Fatal(err)
	}
	var tail []api.AuditRecord
	done := make(chan error, 1)
	before := old.node.raft.AppliedIndex()
	go func() { done <- old.node.replace(aside, Restore{ID: "rst-1"}, &api.RestoreReport{}, &tail) }()
	// raft panics where it is shut down before it has taken the state machine's answer.
	eventually(t, "the leader has the restored state", func() bool {
		return old.machine.View().ClusterEpoch() == 1 && old.node.raft.AppliedIndex() > before
	})
	old.kill()
	if err := <-done; err == nil {
		t.Log("it was done before the leader died")
	}
	for _, s := range r.others(old) {
		s.open()
	}
	r.write("c")
	r.wantRead("a b c")
	old.open()
	eventually(t, "it knows", func() bool {
		select {
		case <-old.node.Failed():
			return true
		default:
			return false
		}
	})
	left, is := errors.AsType[*LeftBehindError](old.node.Failure())
	if !is || left.Epoch != 1 || left.Cluster != 0 {
		t.Errorf("it ends with %v", old.node.Failure())
	}
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// tails are the audit records that came with restored states.
type tails struct {
	mu   sync.Mutex
	last []api.AuditRecord // guarded by mu
}

func (s *seat) tail() []api.AuditRecord {
	s.tails.mu.Lock()
	defer s.tails.mu.Unlock()
	return s.tails.last
}

func (s *seat) forked(_ uint64, tail []api.AuditRecord) error {
	s.tails.mu.Lock()
	defer s.tails.mu.Unlock()
	s.tails.last = tail
	return nil
}
