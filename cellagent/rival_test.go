package cellagent

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

// TestTwoAgentsOfOneCell: an agent that loses its cell to another one again and again says that there seem to be two, and
// registers less and less often; when the other is gone, it holds the cell, and the next loss is an ordinary one.
func TestTwoAgentsOfOneCell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.said = &lines{}
		var registered atomic.Int32
		b.cluster.register = func() error {
			registered.Add(1)
			return nil
		}
		b.start()
		defer b.close()
		take := func() {
			b.cluster.change(func() { b.cluster.agents, b.cluster.epoch = []string{"another"}, b.cluster.epoch+1 })
		}
		const twice = "two agents seem to run as this cell"
		pass(2 * rivalLook)
		take()
		pass(2 * time.Second)
		if n, said := registered.Load(), b.said.with(twice); n != 2 || len(said) != 0 {
			t.Fatalf("superseded once, it has registered %d times and says %q", n, said)
		}
		for began := time.Now(); time.Since(began) < 5*time.Minute; pass(500 * time.Millisecond) {
			b.cluster.mu.Lock()
			ours := b.cluster.agents[0] != "another" || len(b.cluster.agents) > 1
			b.cluster.mu.Unlock()
			if ours {
				take()
			}
		}
		said := b.said.with(twice)
		if n := registered.Load(); n > 20 || n < 10 || len(said) < 8 {
			t.Errorf("in five minutes with a rival it registered %d times, and said so %d times", n, len(said))
		}
		for _, line := range said {
			if !strings.Contains(line, "run one agent a cell") {
				t.Errorf("no word of what to do: %s", line)
			}
		}
		pass(rivalWait + 2*rivalLook) // the other one is gone
		if active, _ := b.cluster.holder(); active == "" {
			t.Error("the cell has no session when its rival is gone")
		}
		before := registered.Load()
		take()
		pass(2 * time.Second)
		if n := registered.Load(); n != before+1 || len(b.said.with(twice)) != len(said) {
			t.Errorf("superseded once more, it has registered %d times", n-before)
		}
	})
}

// TestRecoveryIsNoRival: a cluster that was recovered knows no registration of before, and that is nobody else's doing.
func TestRecoveryIsNoRival(t *testing.T) {
	var r rivalry
	for i := range uint64(9) {
		r.registered(&api.RegisterAnswer{Epoch: i<<32 + 1, ClusterEpoch: i}, 0)
		if wait, rival := r.superseded(int64(time.Second)); rival || wait != staleWait {
			t.Errorf("after recovery %d it waits %s, with a rival: %t", i, wait, rival)
		}
	}
}
