package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// falsify rewrites the newest command in a closed seat's log: the seat makes another state of
// it when it is opened again. To raft, and to the store, it is the same log.
func (s *seat) falsify(t *testing.T, cmd fsm.Command) {
	t.Helper()
	kept := s.storage(t)
	defer func() { _ = kept.Close() }()
	last, err := kept.Log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var tail []*raft.Log
	for i := last; i > 0; i-- {
		e := new(raft.Log)
		if err := kept.Log.GetLog(i, e); err != nil {
			t.Fatal(err)
		}
		tail = append([]*raft.Log{e}, tail...)
		if e.Type != raft.LogCommand {
			continue
		}
		e.Data = command(t, i, cmd).Data
		if err := kept.Log.DeleteRange(i, last); err != nil {
			t.Fatal(err)
		}
		if err := kept.Log.StoreLogs(tail); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("there is no command in the log")
}

// forge gives a seat another state than the others, and opens it again.
func forge(t *testing.T, s *seat, tenant string) {
	t.Helper()
	s.close()
	s.falsify(t, fsm.CreateTenant{Actor: "operator/root", Tenant: api.TenantID(tenant), Quota: api.NoQuota()})
	s.open()
}

// TestForked: a node that made another state of the same log finds out by itself, says where,
// and ends. The others, who are most, go on.
func TestForked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	r.wantRead("a")
	wrong := r.others(r.leader())[0]
	wrong.close()
	r.write("b") // it does not have it: what it has last is "a"
	wrong.falsify(t, fsm.CreateTenant{Actor: "operator/root", Tenant: "z", Quota: api.NoQuota()})
	wrong.open()
	select {
	case <-wrong.node.Failed():
	case <-t.Context().Done():
	}
	forked, is := errors.AsType[*ForkedError](wrong.node.Failure())
	if !is || forked.Node != wrong.name || len(forked.Agree) != 2 || forked.Own == forked.Of || forked.Index == 0 {
		t.Errorf("it ends with %v", wrong.node.Failure())
	}
	if ready, why := wrong.node.ready(wrong.node.State()); ready || !strings.Contains(why, "another state") {
		t.Errorf("ready: %v, %s", ready, why)
	}
	wrong.kill()
	r.write("c")
	for _, s := range r.others(wrong) {
		select {
		case <-s.node.Failed():
			t.Errorf("%s ends: %v", s.name, s.node.Failure())
		default:
		}
	}
	eventually(t, "the alarm ends with the one that was wrong", func() bool { return r.leader().node.Differs() == "" })
}

// TestNoMajority: of two that differ nobody can tell which is right. Both say so, and go on.
func TestNoMajority(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	r.wantRead("a")
	gone := r.leader()
	gone.close()
	r.leader()
	two := r.others(gone)
	if two[0] == r.leader() {
		two[0], two[1] = two[1], two[0]
	}
	forge(t, two[0], "z")
	for _, s := range two {
		eventually(t, string(s.name)+" raises the alarm", func() bool { return strings.Contains(s.node.Differs(), "nobody can tell") })
		select {
		case <-s.node.Failed():
			t.Errorf("%s ends: %v", s.name, s.node.Failure())
		default:
		}
		if st := s.node.State(); st.Differs == "" {
			t.Errorf("%s tells nobody", s.name)
		}
	}
}

// TestDivide compares only what both have.
func TestDivide(t *testing.T) {
	own := api.Fingerprint{Index: 256, Hash: "a"}
	voices := []voice{
		{"s1", []api.Fingerprint{own}},
		{"s2", []api.Fingerprint{{Index: 256, Hash: "a"}, {Index: 300, Hash: "x"}}},
		{"s3", []api.Fingerprint{{Index: 256, Hash: "b"}}},
		{"s4", []api.Fingerprint{{Index: 512, Hash: "c"}}},
		{"s5", nil},
	}
	same, other := divide(voices, own)
	if len(same) != 2 || len(other) != 1 || len(other["b"]) != 1 || other["b"][0] != "s3" {
		t.Errorf("same %v, other %v", same, other)
	}
}

// TestPrints keeps the newest fingerprints of agreed indexes, and none of before a restore.
func TestPrints(t *testing.T) {
	m := fsm.New(fsm.Options{Log: nil})
	var p prints
	v := m.View()
	for i := uint64(1); i <= printEvery*(keepPrints+3); i++ {
		p.note(i, v)
	}
	if len(p.list) != keepPrints || p.list[0].Index != 4*printEvery || p.list[keepPrints-1].Index != (keepPrints+3)*printEvery {
		t.Errorf("%d are kept, from %d to %d", len(p.list), p.list[0].Index, p.list[len(p.list)-1].Index)
	}
	if got := p.with(v); len(got) != 1 || got[0].Index != v.Index() {
		t.Errorf("of a state that is older than all of them: %v", got)
	}
	p.reset()
	if got := p.with(v); len(got) != 1 {
		t.Errorf("after a restore: %v", got)
	}
}
