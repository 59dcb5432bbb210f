package control

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// suitesSeen remembers when a suite ended without a result, and of which cell.
type suitesSeen struct {
	hclog.Logger
	mu sync.Mutex
	at map[string][]time.Time
}

func (s *suitesSeen) Warn(message string, args ...any) {
	if cell, ok := args[1].(string); ok && strings.Contains(message, "without a result") {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.at[cell] = append(s.at[cell], time.Now())
	}
}

// TestProofsAreRepeatedLessOften: cells whose suite has no result leave their places to others, and are
// proved again later each time.
func TestProofsAreRepeatedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.must(fsm.RaiseLevel{Level: 2})
		for i := range 3 * proveAtOnce {
			r.cell(api.CellID("c" + string(rune('a'+i))))
		}
		r.must(fsm.MarkCell{Provider: "aws", Production: true})
		seen := &suitesSeen{Logger: hclog.NewNullLogger(), at: map[string][]time.Time{}}
		r.c.log = seen
		r.set(func() { r.lose = 1 << 30 }) // no decision comes to pass, and so no result
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		began := time.Now()
		go func() {
			defer close(done)
			r.c.KeepConformant(ctx)
		}()
		time.Sleep(time.Hour)
		cancel()
		<-done
		if len(seen.at) != 3*proveAtOnce {
			t.Errorf("suites of %d cells were run", len(seen.at))
		}
		for cell, at := range seen.at {
			if first := at[0].Sub(began); first > 10*time.Second || len(at) < 6 || len(at) > 14 {
				t.Errorf("%s: first after %s, %d times in an hour: %v", cell, first, len(at), at)
			}
		}
	})
}
