package control

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// slowClock goes on by a step at every look at it: whatever is timed takes one.
type slowClock struct {
	now  time.Time
	step time.Duration
}

func (c *slowClock) Now() time.Time {
	c.now = c.now.Add(c.step)
	return c.now
}

func (c *slowClock) Wall() time.Time { return c.now }

func applyAt(t *testing.T, m *fsm.Machine, index uint64, cs ...fsm.Command) {
	t.Helper()
	entry, err := fsm.EncodeEntry(fsm.Entry{Commands: cs})
	if err != nil {
		t.Fatal(err)
	}
	m.Apply(&raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: entry})
}

// TestLargeStateIsNotLookedThrough: nobody who asks for a node's state makes it look through more
// records than a bound, whatever they are: not one of these is a live lease.
func TestLargeStateIsNotLookedThrough(t *testing.T) {
	m := fsm.New(fsm.Options{Log: hclog.NewNullLogger()})
	clock := &slowClock{now: time.Unix(1, 0), step: time.Minute}
	i := invariants{clock: clock}
	applyAt(t, m, 1, fsm.InitCluster{ClusterID: "g"}, fsm.CreateTenant{Tenant: "acme", Quota: api.NoQuota()})
	if _, at := i.broken(m.View()); at != 1 {
		t.Fatalf("looked at index %d, not at 1", at)
	}
	n := int64(0)
	for index := uint64(2); weight(m.View().Counts()) <= maxChecked; index++ {
		cs := make([]fsm.Command, 256)
		for k := range cs {
			n++
			quota := api.NoQuota()
			quota.Leases = n // what changes nothing keeps no key
			cs[k] = fsm.SetQuota{Tenant: "acme", Quota: quota, Idem: fsm.Idem{Scope: "root", Key: fmt.Sprintf("%08x-0000-4000-a000-000000000000", n), Hash: strings.Repeat("0", 32)}}
		}
		applyAt(t, m, index, cs...)
		if m.View().Counts().Keys == 0 { // the loop would not end
			t.Fatal("no key is kept")
		}
	}
	clock.now = clock.now.Add(24 * time.Hour)
	if _, at := i.broken(m.View()); at != 1 {
		t.Errorf("looked through %+v", m.View().Counts())
	}
}

// TestInvariantsAreLookedForSeldom: asking all the time costs a twentieth of a core at most.
func TestInvariantsAreLookedForSeldom(t *testing.T) {
	m := fsm.New(fsm.Options{Log: hclog.NewNullLogger()})
	clock := &slowClock{now: time.Unix(1, 0), step: time.Second}
	i := invariants{clock: clock}
	looked := 0
	for index := uint64(1); index <= 100; index++ { // a look, and the time that passes anyway, a second each
		applyAt(t, m, index, fsm.Tick{})
		before := i.index
		if found, _ := i.broken(m.View()); len(found) > 0 {
			t.Error(found)
		}
		if i.index != before {
			looked++
		}
	}
	if looked < 3 || looked > 6 {
		t.Errorf("looked %d times in 100 s, a second each", looked)
	}
}
