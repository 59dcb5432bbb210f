package cluster

import (
	"fmt"
	"sync"
	"testing"
)

// TestReadsShareRounds: readers that come together at a follower share what it asks the
// leader, and each of them sees what was acknowledged before it came.
func TestReadsShareRounds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("a")
	leader := r.leader()
	follower := r.others(leader)[0]
	r.wantRead("a")
	const waves, readers = 20, 100
	before := leader.asked.Load()
	for i := range waves {
		tenant := fmt.Sprint("b", i)
		r.write(tenant)
		var wg sync.WaitGroup
		for range readers {
			wg.Go(func() {
				v, err := follower.node.Read(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if got := len(v.Tenants()); got != i+2 {
					t.Errorf("wave %d: a reader sees %d tenants", i, got)
				}
			})
		}
		wg.Wait()
	}
	if asked := leader.asked.Load() - before; asked < waves || asked > waves*readers/10 {
		t.Errorf("%d reads asked the leader %d times", waves*readers, asked)
	} else {
		t.Logf("%d reads asked the leader %d times", waves*readers, asked)
	}
}
