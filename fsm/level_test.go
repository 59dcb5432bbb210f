package fsm

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// Every kind belongs to a level that this release knows, so that a kind that is added must be
// given one.
func TestEveryKindHasALevel(t *testing.T) {
	for k := Kind(1); k <= lastKind; k++ {
		if l := LevelOf(k.make()); l < 1 || l > NewestLevel {
			t.Errorf("kind %d is of level %d", k, l)
		}
	}
	if (lastKind + 1).level() <= NewestLevel {
		t.Error("a kind that does not exist is of a level that does")
	}
}

// later is a command of a known kind with a field that came with level 3.
type later struct{ Tick }

func (later) level() Level { return 3 }

func TestLevelGate(t *testing.T) {
	r := newRig(t).cluster()
	s := r.m.state
	s.newest = 3 // as a later release has it
	if LevelOf(later{}) != 3 || LevelOf(&Tick{}) != 1 {
		t.Error("a field does not raise the level of its command")
	}
	if res := s.applyOne(later{}); kindOf(res.Problem) != api.Conflict || !strings.Contains(res.Problem.Detail, "level 3") {
		t.Errorf("below its level: %v", res.Problem)
	}
	before := len(r.audit)
	r.must(RaiseLevel{Level: 3})
	if got := r.audited(before); len(got) != 1 || got[0] != "level_raised" || r.m.View().Level() != 3 {
		t.Errorf("level %d, audited %v", r.m.View().Level(), got)
	}
	for _, l := range []Level{3, 2, 0} {
		if res := r.must(RaiseLevel{Level: l}); res.Changed || r.m.View().Level() != 3 {
			t.Errorf("raised to %d, and the level is %d", l, r.m.View().Level())
		}
	}
	if res := s.applyOne(later{}); res.Problem != nil {
		t.Errorf("at its level: %v", res.Problem)
	}
}

// A node that does not know the level that its cluster goes to stops, with both in its words.
func TestRaisedAboveThisNode(t *testing.T) {
	r := newRig(t).cluster()
	before := r.m.View()
	b, err := EncodeEntry(Entry{Commands: []Command{RaiseLevel{Level: NewestLevel + 1}}})
	if err != nil {
		t.Fatal(err)
	}
	out := r.m.Apply(&raft.Log{Index: 77, Data: b})
	unknown, ok := errors.AsType[*UnknownLevelError](r.fatal)
	if !ok || unknown.Level != NewestLevel+1 || unknown.Newest != NewestLevel || !strings.Contains(r.fatal.Error(), "entry 77") {
		t.Errorf("answered %v, fatal %v", out, r.fatal)
	}
	if r.m.View() != before {
		t.Error("what it cannot read on from was published")
	}
}

// A snapshot of a cluster at a level that this node does not know is refused, whatever else is
// in it.
func TestSnapshotOfALaterLevel(t *testing.T) {
	r := smallState(t)
	r.m.state.newest = 9
	r.must(RaiseLevel{Level: 9})
	_, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, r.m.View())))
	bad, ok := errors.AsType[*SnapshotError](err)
	if !ok || bad.Fault != FaultLevel || !strings.Contains(bad.Error(), "level 9") || !strings.Contains(bad.Error(), "run a release") {
		t.Errorf("got %v", err)
	}
}

// An entry of a later release stops the node for good: with the index, what is unknown and what
// is known in the words, and without a panic, also when it is given the entry again.
func TestUnknownEntryStopsTheNode(t *testing.T) {
	cd, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	command := func(k Kind, v any) []byte {
		body, err := cd.enc.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b, err := cd.enc.Marshal(wireEntry{Commands: []wireCommand{{Kind: KindTick, Body: []byte{cborMap}}, {Kind: k, Body: body}}})
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte{entryVersion}, b...)
	}
	known := "entry version 1 and the kinds 1 to 28, which is feature level 2"
	for name, c := range map[string]struct {
		data []byte
		want UnknownEntryError
		word string
	}{
		"kind":      {command(lastKind+1, Tick{}), UnknownEntryError{Version: 1, Kind: lastKind + 1}, "entry 99 has a command of kind 29"},
		"field":     {command(KindFreeLease, map[string]any{"lease_id": "l", "colour": "red"}), UnknownEntryError{Version: 1, Kind: KindFreeLease, Field: true}, "entry 99 has a command of kind 10 with a field"},
		"version":   {[]byte{2, 0}, UnknownEntryError{Version: 2}, "entry 99 has entry version 2"},
		"version 0": {[]byte{0, 0}, UnknownEntryError{}, "entry 99 has entry version 0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).cluster()
			before := r.m.View()
			for range 3 {
				if _, ok := r.m.Apply(&raft.Log{Index: 99, Term: 4, Data: c.data}).(error); !ok {
					t.Fatal("it was applied")
				}
			}
			unknown, ok := errors.AsType[*UnknownEntryError](r.fatal)
			c.want.Index = 99
			if !ok || *unknown != c.want {
				t.Fatalf("got %+v in %v, want %+v", unknown, r.fatal, c.want)
			}
			for _, word := range []string{c.word, known, "run a release that knows it"} {
				if !strings.Contains(r.fatal.Error(), word) {
					t.Errorf("%q is not in %q", word, r.fatal)
				}
			}
			if r.m.View() != before {
				t.Error("part of the entry was applied")
			}
		})
	}
}
