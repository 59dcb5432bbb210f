package control

import (
	"sync"
	"time"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/fsm"
)

const (
	// maxChecked bounds the records of a state that is looked through on request, those of ended leases
	// and of idempotency keys with them: each takes some 5 us of a core that has other work, at every scheduler
	// that is asked. The snapshots of a larger one can be verified elsewhere.
	maxChecked = 100_000
	// checkShare is how many times as long as a look took there is none after it.
	checkShare = 20
)

// invariants looks for broken invariants, one look at a time and seldom enough to cost little:
// in between the last answer is given.
type invariants struct {
	clock clock.Clock

	mu    sync.Mutex
	index uint64    // guarded by mu: of the state that was looked through last; 0 is none yet
	found []string  // guarded by mu: what was broken then
	rest  time.Time // guarded by mu: until then there is no look
}

// broken returns what is broken, and at which index that was looked for: 0 is never.
func (i *invariants) broken(v *fsm.View) (found []string, index uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	began := i.clock.Now()
	if v.Index() == i.index || weight(v.Counts()) > maxChecked || began.Before(i.rest) {
		return i.found, i.index
	}
	i.index, i.found = v.Index(), nil
	for _, err := range fsm.Check(v) {
		i.found = append(i.found, err.Error())
	}
	now := i.clock.Now()
	i.rest = now.Add(checkShare * now.Sub(began))
	return i.found, i.index
}

// weight is how many records a look goes through.
func weight(c fsm.Counts) int {
	return c.Providers + c.Cells + c.Tenants + c.Leases + c.Runs + c.Blobs + c.Keys + c.Tokens
}
