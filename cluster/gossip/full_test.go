package gossip

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
)

// met is what memberlist says of a scheduler.
func met(t *testing.T, id string) *memberlist.Node {
	t.Helper()
	meta, err := rumor.Meta{Node: api.NodeID(id), URL: "https://" + id}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return &memberlist.Node{Name: id, Addr: net.IPv4(10, 0, 0, 1), Port: 7492, Meta: meta}
}

// hear takes what a scheduler tells that has a session of one cell.
func (d *delegate) hear(id string) {
	table := rumor.NewTable(api.NodeID(id), time.Now)
	table.SessionOpened(api.CellID("c-"+id), 1)
	d.NotifyMsg(table.Whole())
}

// TestTheDeadMakeRoom: however many schedulers come and go, one that lives is taken; who is
// dead for the longest is forgotten, with what it told of the cells, and nobody who lives is.
func TestTheDeadMakeRoom(t *testing.T) {
	c := testConfig("s1")
	c.Drops, c.Log = &Drops{}, hclog.NewNullLogger()
	d := newDelegate(c)
	d.NotifyJoin(met(t, "s1"))
	told := func(id string) bool { _, ok := c.Table.Best(api.CellID("c-"+id), 1); return ok }
	name := func(i int) string { return fmt.Sprintf("r%03d", i) }
	const lives = 10 // came early, stays
	for i := range 3 * maxMembers {
		id := name(i)
		d.NotifyJoin(met(t, id))
		d.hear(id)
		if m, ok := d.members[api.NodeID(id)]; !ok || !m.Alive || !told(id) {
			t.Fatalf("%s is not taken, %d others are known", id, len(d.members))
		}
		if i != lives {
			d.NotifyLeave(met(t, id))
		}
	}
	if n := len(d.members); n != maxMembers {
		t.Errorf("%d members are remembered, not %d", n, maxMembers)
	}
	for _, id := range []string{"s1", name(lives)} {
		if !d.members[api.NodeID(id)].Alive {
			t.Errorf("%s lives and is forgotten", id)
		}
	}
	if !told(name(lives)) || !told(name(3*maxMembers-1)) || told(name(0)) || told(name(maxMembers)) {
		t.Error("not those who are dead for the longest are forgotten")
	}
	if n := c.Drops.Count(DropFull); n != 0 {
		t.Errorf("%d were refused", n)
	}
	before := len(d.members)
	d.NotifyLeave(met(t, "never-met")) // a dead one is worth nobody's place
	if _, ok := d.members["never-met"]; ok || len(d.members) != before {
		t.Error("a dead scheduler took a place")
	}
}

// TestFullIsSaid: where all that are remembered live, one more is refused and counted, and so
// is what it tells; when one of them dies there is room.
func TestFullIsSaid(t *testing.T) {
	c := testConfig("s1")
	c.Drops, c.Log = &Drops{}, hclog.NewNullLogger()
	d := newDelegate(c)
	d.NotifyJoin(met(t, "s1"))
	for i := range maxMembers {
		id := fmt.Sprintf("r%03d", i)
		d.NotifyJoin(met(t, id))
		d.hear(id)
	}
	d.hear("more")
	if n := c.Drops.Count(DropFull); n != 2 || len(d.members) != maxMembers {
		t.Errorf("%d refusals, %d members", n, len(d.members))
	}
	d.NotifyLeave(met(t, "r007"))
	d.NotifyJoin(met(t, "more"))
	d.hear("more")
	if _, ok := c.Table.Best("c-more", 1); !ok || !d.members["more"].Alive || c.Drops.Count(DropFull) != 2 {
		t.Errorf("there is room and it is not taken: %d refusals", c.Drops.Count(DropFull))
	}
}
