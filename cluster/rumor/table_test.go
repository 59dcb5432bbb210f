package rumor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

const limit = 3 * time.Second

// clock is a clock that moves when told.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{t: time.Unix(1_800_000_000, 0)} }

func (c *clock) now() time.Time       { return c.t }
func (c *clock) wait(d time.Duration) { c.t = c.t.Add(d) }
func beat(seq uint64) api.Heartbeat   { return beatStuck(seq, "") }
func boot(seq uint64) api.Stamp       { return api.Stamp{BootID: "b", BootTime: int64(seq) * 1e9} }
func beatStuck(seq uint64, s string) api.Heartbeat {
	return api.Heartbeat{Seq: seq, Stamp: boot(seq), Stuck: s}
}

func expectBest(t *testing.T, table *Table, epoch uint64, want Sight) {
	t.Helper()
	got, ok := table.Best("c1", epoch)
	if !ok {
		t.Fatal("nothing is known of the cell")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("best sighting (-want +got):\n%s", d)
	}
}

func TestTableHeartbeats(t *testing.T) {
	c := newClock()
	table := NewTable("s1", c.now)
	if _, ok := table.Best("c1", 1); ok {
		t.Error("an unknown cell has a sighting")
	}
	table.SessionOpened("c1", 1)
	c.wait(time.Second)
	table.SessionOpened("c1", 1) // the warm one; it does not make the cell younger
	expectBest(t, table, 1, Sight{Age: time.Second, StampAge: Never, Session: true, Holder: "s1"})

	table.Heartbeat("c1", 1, beat(1), limit)
	c.wait(limit)
	table.Heartbeat("c1", 1, beat(2), limit) // just in time
	c.wait(time.Second)
	expectBest(t, table, 1, Sight{Age: time.Second, Steady: limit, Stamp: boot(2), StampAge: time.Second, Session: true, Holder: "s1"})

	table.Heartbeat("c1", 1, beat(2), limit) // sent again
	table.Heartbeat("c1", 1, beat(1), limit) // late
	table.Heartbeat("c1", 0, beat(9), limit) // of an agent that is gone
	expectBest(t, table, 1, Sight{Age: time.Second, Steady: limit, Stamp: boot(2), StampAge: time.Second, Session: true, Holder: "s1"})

	c.wait(limit) // a gap above the limit: steady begins again
	table.Heartbeat("c1", 1, beatStuck(3, "disk"), limit)
	expectBest(t, table, 1, Sight{Stamp: boot(3), Session: true, Holder: "s1", Stuck: "disk"})
	c.wait(time.Second)
	table.Heartbeat("c1", 1, beat(4), limit)
	expectBest(t, table, 1, Sight{Steady: time.Second, Stamp: boot(4), Session: true, Holder: "s1"})
}

func TestTableEpochs(t *testing.T) {
	c := newClock()
	table := NewTable("s1", c.now)
	table.SessionOpened("c1", 1)
	table.Heartbeat("c1", 1, beat(50), limit)
	c.wait(time.Second)
	table.Heartbeat("c1", 2, beat(1), limit) // the agent started anew: its numbers too
	if _, ok := table.Best("c1", 1); ok {
		t.Error("the old epoch is still seen")
	}
	expectBest(t, table, 2, Sight{Stamp: boot(1), SessionAge: Never})
	table.SessionOpened("c1", 2)
	table.SessionClosed("c1", 1) // the old agent's session ends late
	table.SessionOpened("c1", 1)
	expectBest(t, table, 2, Sight{Stamp: boot(1), Session: true, Holder: "s1"})
}

func TestTableSessions(t *testing.T) {
	c := newClock()
	table := NewTable("s1", c.now)
	table.SessionClosed("c1", 1)
	table.Heartbeat("c1", 1, beat(1), limit)
	expectBest(t, table, 1, Sight{Stamp: boot(1), SessionAge: Never})
	table.SessionOpened("c1", 1)
	table.SessionOpened("c1", 1) // a reconnect, before the old connection is noticed to be gone
	table.SessionClosed("c1", 1)
	expectBest(t, table, 1, Sight{Stamp: boot(1), Session: true, Holder: "s1"})
	table.SessionClosed("c1", 1)
	table.SessionClosed("c1", 1)
	c.wait(2 * time.Second)
	expectBest(t, table, 1, Sight{Age: 2 * time.Second, Stamp: boot(1), StampAge: 2 * time.Second, SessionAge: 2 * time.Second})
}

func TestTableFreshestWins(t *testing.T) {
	c := newClock()
	s1, s2, s3 := NewTable("s1", c.now), NewTable("s2", c.now), NewTable("s3", c.now)
	s1.SessionOpened("warm", 1) // long before the session that brings heartbeats
	c.wait(time.Second)
	s2.Heartbeat("warm", 1, beat(1), limit)
	s1.Merge(s2.Local())
	s2.Merge(s1.Local())
	for _, table := range []*Table{s1, s2} {
		if got, _ := table.Best("warm", 1); got.Age != 0 || got.Stamp != boot(1) || got.Holder != "s1" {
			t.Errorf("a session without heartbeats hid a heartbeat: %+v", got)
		}
	}
	s2.SessionOpened("c1", 1)
	s2.Heartbeat("c1", 1, beat(1), limit)
	c.wait(time.Second)
	s3.SessionOpened("c1", 1) // the warm second session, without heartbeats
	c.wait(time.Second)
	s1.Merge(s2.Local())
	s1.Merge(s3.Local())
	want := Sight{Age: 2 * time.Second, Stamp: boot(1), StampAge: 2 * time.Second, Session: true, Holder: "s2"}
	expectBest(t, s1, 1, want)

	s3.Heartbeat("c1", 1, beat(2), limit) // the cell moves
	s2.SessionClosed("c1", 1)
	s1.Merge(s2.Local())
	s1.Merge(s3.Local())
	expectBest(t, s1, 1, Sight{Stamp: boot(2), Session: true, Holder: "s3"})

	s1.Heartbeat("c1", 1, beat(3), limit) // and moves here: as steady as it was
	expectBest(t, s1, 1, Sight{Steady: 2 * time.Second, Stamp: boot(3), Session: true, Holder: "s3"})
	s3.SessionClosed("c1", 1)
	c.wait(time.Second)
	s1.Merge(s3.Local())
	expectBest(t, s1, 1, Sight{
		Age: time.Second, Steady: 2 * time.Second, Stamp: boot(3), StampAge: time.Second, SessionAge: time.Second,
	})
}

// TestTableSteadyAcrossSchedulers: a series goes on when the next scheduler did not yet know
// of the one before, and does not when there was a gap.
func TestTableSteadyAcrossSchedulers(t *testing.T) {
	for gap, want := range map[time.Duration]time.Duration{limit: 4*time.Second + limit, limit + time.Second: 2 * time.Second} {
		c := newClock()
		s1, s2, s3 := NewTable("s1", c.now), NewTable("s2", c.now), NewTable("s3", c.now)
		s1.Heartbeat("other", 1, beat(1), limit)
		s2.Heartbeat("c1", 1, beat(1), limit)
		c.wait(2 * time.Second)
		s2.Heartbeat("c1", 1, beat(2), limit)
		c.wait(gap)
		s3.Heartbeat("c1", 1, beat(3), limit)
		c.wait(2 * time.Second)
		s3.Heartbeat("c1", 1, beat(4), limit)
		s1.Merge(s3.Local())
		s1.Merge(s2.Local())
		expectBest(t, s1, 1, Sight{Steady: want, Stamp: boot(4), SessionAge: Never})
	}
}

func TestTableDeadSchedulers(t *testing.T) {
	c := newClock()
	s1, s2 := NewTable("s1", c.now), NewTable("s2", c.now)
	s2.SessionOpened("c1", 1)
	s2.Heartbeat("c1", 1, beat(1), limit)
	s1.Merge(s2.Local())
	c.wait(time.Second)
	want := Sight{Age: time.Second, Stamp: boot(1), StampAge: time.Second, Session: true, Holder: "s2"}
	expectBest(t, s1, 1, want)
	s1.Lost("s2")
	s1.Lost("nobody")
	want.Session, want.Holder, want.SessionAge = false, "", time.Second
	expectBest(t, s1, 1, want) // what it heard stays known
	s1.Merge(s2.Local())
	want.Session, want.Holder, want.SessionAge = true, "s2", 0
	expectBest(t, s1, 1, want) // it was not dead
	c.wait(staleAfter + time.Second)
	if got, _ := s1.Best("c1", 1); got.Session || got.SessionAge != staleAfter+time.Second {
		t.Errorf("a scheduler that is silent still holds a session: %+v", got)
	}
	s1.Forget("s2")
	if _, ok := s1.Best("c1", 1); ok {
		t.Error("a forgotten scheduler's sightings are still there")
	}
}

// TestTableMakesRoom: the table of one more scheduler is kept in place of a dead one's, or of
// one that is silent for long, and never of one that tells something.
func TestTableMakesRoom(t *testing.T) {
	c := newClock()
	s1 := NewTable("s1", c.now)
	tell := func(id string) error {
		other := NewTable(api.NodeID(id), c.now)
		other.SessionOpened(api.CellID(id), 1)
		return s1.Take(other.Whole())
	}
	name := func(i int) string { return fmt.Sprintf("r%03d", i) }
	for i := range maxPeers {
		if err := tell(name(i)); err != nil {
			t.Fatal(err)
		}
		c.wait(time.Second)
	}
	if err := tell("more"); !errors.Is(err, ErrFull) {
		t.Errorf("one more than there is room for: %v", err)
	}
	s1.Lost(api.NodeID(name(9)))
	s1.Lost(api.NodeID(name(7)))
	if err := tell("more"); err != nil {
		t.Error(err)
	}
	for id, want := range map[string]bool{name(0): true, name(7): false, name(9): true, "more": true} {
		if _, ok := s1.Best(api.CellID(id), 1); ok != want {
			t.Errorf("%s is known: %v", id, ok)
		}
	}
	s1.Forget(api.NodeID(name(9)))
	c.wait(forgetAfter - (maxPeers-1)*time.Second) // r000 is silent for so long, r001 is not yet
	for _, id := range []string{"in its place", "and another"} {
		if err := tell(strings.ReplaceAll(id, " ", "-")); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := tell("too-many"); !errors.Is(err, ErrFull) {
		t.Errorf("nobody is silent for long: %v", err)
	}
}

func TestTableDigestNumbers(t *testing.T) {
	c := newClock()
	s1, s2 := NewTable("s1", c.now), NewTable("s2", c.now)
	s2.Heartbeat("c1", 1, beat(1), limit)
	s2.Heartbeat("c2", 1, beat(1), limit)
	old := s2.Local()
	c.wait(2 * time.Second)
	kind, packet, err := decode(s2.Packet(1400))
	if err != nil || kind != msgSome || len(packet.Sightings) != 2 {
		t.Fatalf("packet %v, %v", packet, err)
	}
	_ = s1.merge(packet, false)
	s1.Merge(old) // the packet overtook the table
	if got, _ := s1.Best("c1", 1); got.Age != 2*time.Second {
		t.Errorf("an older whole table took back what a packet told: age %v", got.Age)
	}
	young := s2.Local()
	s1.Merge(young)
	c.wait(time.Second)
	s1.Merge(old)
	s1.Merge(young) // delivered twice, the second time late
	_ = s1.merge(packet, false)
	if got, _ := s1.Best("c1", 1); got.Age != 3*time.Second {
		t.Errorf("a stale digest was taken: age %v", got.Age)
	}

	gone := s2.Local()
	gone.Sightings = gone.Sightings[:1]
	s1.Merge(gone)
	if _, ok := s1.Best("c2", 1); ok {
		t.Error("a cell that the whole table no longer names is still there")
	}
	s1.Merge(old)
	if _, ok := s1.Best("c2", 1); ok {
		t.Error("a stale whole table brought a cell back")
	}

	c.wait(time.Second)
	again := NewTable("s2", c.now) // s2 was restarted
	again.Heartbeat("c1", 1, beat(9), limit)
	s1.Merge(again.Local())
	if got, _ := s1.Best("c1", 1); got.Age != 0 {
		t.Errorf("a restarted scheduler's digest was ignored: age %v", got.Age)
	}

	c.wait(time.Second)
	back := newClock() // and again, with its clock set back
	third := NewTable("s2", back.now)
	third.Heartbeat("c1", 1, beat(10), limit)
	s1.Lost("s2")
	s1.Joined("s2")
	s1.Merge(third.Local())
	if got, _ := s1.Best("c1", 1); got.Age != 0 {
		t.Errorf("a digest of a scheduler that joined again was ignored: age %v", got.Age)
	}
	s1.Merge(api.SightingTable{Node: "s1", Digest: 1 << 63, Sightings: []api.Sighting{{CellID: "mine", Epoch: 1, Seq: 1}}})
	if _, ok := s1.Best("mine", 1); ok {
		t.Error("another told this scheduler what it saw itself")
	}
}

func TestTableForgetsCells(t *testing.T) {
	c := newClock()
	table := NewTable("s1", c.now)
	table.SessionOpened("held", 1)
	table.Heartbeat("gone", 1, beat(1), limit)
	c.wait(forgetAfter + time.Second)
	if got := table.Local().Sightings; len(got) != 1 || got[0].CellID != "held" {
		t.Errorf("table holds %v", got)
	}
}

// TestTableAgainstModel: the best sighting never makes a cell older than the freshest
// heartbeat that a digest carried, nor younger than the real one.
func TestTableAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		nodes := []api.NodeID{"s1", "s2", "s3"}
		tables := map[api.NodeID]*Table{}
		for _, n := range nodes {
			tables[n] = NewTable(n, c.now)
		}
		heard, told := map[api.NodeID]time.Time{}, time.Time{}
		var seq uint64
		var last time.Time
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			n := rapid.SampledFrom(nodes).Draw(rt, "node")
			switch rapid.SampledFrom([]string{"wait", "beat", "gossip"}).Draw(rt, "step") {
			case "wait":
				c.wait(time.Duration(rapid.IntRange(1, 5000).Draw(rt, "ms")) * time.Millisecond)
			case "beat":
				seq++
				tables[n].Heartbeat("c1", 1, beat(seq), limit)
				heard[n], last = c.now(), c.now()
			case "gossip":
				tables["s1"].Merge(tables[n].Local())
				if heard[n].After(told) {
					told = heard[n]
				}
			}
			if heard["s1"].After(told) {
				told = heard["s1"]
			}
			got, ok := tables["s1"].Best("c1", 1)
			if told.IsZero() {
				if ok {
					rt.Fatal("seen before it was heard")
				}
				continue
			}
			if age := c.now().Sub(told); got.Age != age || got.Age < c.now().Sub(last) {
				rt.Fatalf("age %v, want %v, really %v", got.Age, age, c.now().Sub(last))
			}
			if got.Steady < 0 {
				rt.Fatalf("steady %v", got.Steady)
			}
		}
	})
}

// TestTableBeganAnew: a scheduler that was started again with a clock that was set back is heard
// again once it is asked; an answer that was overtaken changes nothing.
func TestTableBeganAnew(t *testing.T) {
	c := newClock()
	s1, s2 := NewTable("s1", c.now), NewTable("s2", c.now)
	s2.SessionOpened("c1", 1)
	overtaken := s2.Local()
	s1.Merge(s2.Local())
	s1.Merge(overtaken)
	if got, ok := s1.Best("c1", 1); !ok || got.Holder != "s2" {
		t.Errorf("got %+v, %t", got, ok)
	}
	again := NewTable("s2", func() time.Time { return c.now().Add(-time.Hour) })
	again.SessionOpened("c2", 1)
	s1.Merge(again.Local())
	if got, ok := s1.Best("c2", 1); !ok || got.Holder != "s2" {
		t.Errorf("of the one that began anew: %+v, %t", got, ok)
	}
	if got, ok := s1.Best("c1", 1); ok && got.Session {
		t.Errorf("of its former life: %+v", got)
	}
}
