package fsm_test

import (
	"testing"

	"github.com/hashicorp/go-hclog"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/fsm/fsmcheck"
)

// TestRandomLogsKeepTheirPromises follows random logs entry by entry. A checker that begins in
// the middle finds the same.
func TestRandomLogsKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := fsm.RandomLog(t, rapid.IntRange(1, 60).Draw(t, "entries"))
		var checkers []*fsmcheck.Checker
		m := fsm.New(fsm.Options{Log: hclog.NewNullLogger(), Applied: func(ch fsm.Change) {
			for _, c := range checkers {
				if err := c.Next(ch); err != nil {
					t.Error(err)
				}
			}
		}})
		middle := rapid.IntRange(0, len(log)-1).Draw(t, "middle")
		for i, l := range log {
			if i == 0 || i == middle {
				checkers = append(checkers, fsmcheck.New(m.View()))
			}
			if _, ok := m.Apply(l).([]fsm.Result); !ok {
				t.Fatal("stopped")
			}
		}
	})
}
