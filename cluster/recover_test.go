package cluster

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// TestRecover makes a group of one from a member's data. Whoever was in the old group and comes
// back with its data is left behind, and disturbs nobody.
func TestRecover(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	r.write("b")
	r.wantRead("a b")
	for _, s := range r.seats {
		s.close()
	}
	one := r.seats[0]
	kept := one.storage(t)
	k, err := Inspect(kept)
	if err != nil || k.LastIndex == 0 || k.LastTerm == 0 || k.Term < k.LastTerm || len(k.Members) != 3 {
		t.Fatalf("it holds %+v, %v", k, err)
	}
	var audited []api.AuditRecord
	m := fsm.New(fsm.Options{Log: hclog.NewNullLogger(), Audit: func(recs []api.AuditRecord) error {
		for _, r := range recs {
			audited = append(audited, r.Clone())
		}
		return nil
	}})
	v, err := Recover(kept, Recovery{
		Machine: m, Node: "s1-new", Addr: one.raft, Wall: 1, Entry: fsm.Recovered{ID: "rec-1", Actor: "operator/root", Node: "s1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, known := v.Recovery("rec-1"); v.ClusterEpoch() != 1 || !known || v.Index() != k.LastIndex+indexJump || tenants(v) != "a b" {
		t.Errorf("epoch %d, index %d, tenants %s", v.ClusterEpoch(), v.Index(), tenants(v))
	}
	last := audited[len(audited)-1]
	if last.Kind != "cluster_recovered" || !strings.Contains(string(last.Data), `"node_id":"s1"`) {
		t.Errorf("the last record is %+v", last)
	}
	after, err := Inspect(kept)
	if err != nil || after.FirstIndex != 0 || after.LastIndex != v.Index() || len(after.Members) != 1 || after.Members[0].Node != "s1-new" {
		t.Errorf("afterwards it holds %+v, %v", after, err)
	}
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}

	one.name = "s1-new"
	one.open()
	r.write("c")
	left := r.seats[1]
	left.open()
	select {
	case <-left.node.Failed():
	case <-t.Context().Done():
	}
	behind, is := errors.AsType[*LeftBehindError](left.node.Failure())
	if !is || behind.Epoch != 0 || behind.Cluster != 1 {
		t.Errorf("s2 ends with %v", left.node.Failure())
	}
	if got := one.members(); got != "s1-new" {
		t.Errorf("members: %s", got)
	}
	left.close()
	r.wantRead("a b c")
}

// storage opens what a seat that is closed keeps.
func (s *seat) storage(t *testing.T) *Storage {
	t.Helper()
	kept, err := s.config().Storage(Disk{})
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func TestRecoverFromNothing(t *testing.T) {
	r := &rig{t: t, expect: 1}
	s := &seat{rig: r, name: "s1", dir: t.TempDir()}
	r.material = newRigOf(t, 1).material
	kept := s.storage(t)
	defer func() { _ = kept.Close() }()
	_, err := Recover(kept, Recovery{Machine: fsm.New(fsm.Options{Log: hclog.NewNullLogger()}), Node: "s2", Addr: "127.0.0.1:1"})
	if api.KindOf(err) != api.NotFound {
		t.Errorf("got %v", err)
	}
}

// TestTail: the records before a snapshot's state come out as they went in, and a snapshot
// without any is read from its beginning.
func TestTail(t *testing.T) {
	want := []api.AuditRecord{{Sequence: 7, Kind: "cluster_recovered", Data: json.RawMessage(`{"a":1}`), Hash: "h"}}
	var b bytes.Buffer
	if err := writeTail(&b, want); err != nil {
		t.Fatal(err)
	}
	b.WriteString("state")
	whole := bytes.Clone(b.Bytes())
	in := bufio.NewReader(&b)
	got, err := readTail(in)
	rest, _ := io.ReadAll(in)
	if err != nil || !cmp.Equal(want, got) || string(rest) != "state" {
		t.Errorf("got %+v, then %q, %v", got, rest, err)
	}
	if got, err := readTail(bufio.NewReader(strings.NewReader("a state alone"))); err != nil || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
	for n := tailHead; n < len(whole)-len("state"); n++ {
		if _, err := readTail(bufio.NewReader(bytes.NewReader(whole[:n]))); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(whole))
		}
	}
	whole[7] = 0xff
	if _, err := readTail(bufio.NewReader(bytes.NewReader(whole))); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("too many: %v", err)
	}
}
