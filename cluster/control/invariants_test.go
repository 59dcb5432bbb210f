package control

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

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

// TestInvariantsAreLookedForSeldom: asking all the time costs a twentieth of a core at most.
func TestInvariantsAreLookedForSeldom(t *testing.T) {
	m := fsm.New(fsm.Options{Log: hclog.NewNullLogger()})
	clock := &slowClock{now: time.Unix(1, 0), step: time.Second}
	i := invariants{clock: clock}
	looked := 0
	for index := uint64(1); index <= 100; index++ { // a look, and the time that passes anyway, a second each
		entry, err := fsm.EncodeEntry(fsm.Entry{Commands: []fsm.Command{fsm.Tick{}}})
		if err != nil {
			t.Fatal(err)
		}
		m.Apply(&raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: entry})
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
