package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

// keyDismissed is the stable value of a node that was told that an operator removes it.
const keyDismissed = "GrafosDismissed"

// away is whether this node was told to stay away should it find that it is no member. It is
// told so before it is removed, while it can be reached: from the log it learns only that it was
// removed, as it does when it was taken for dead.
type away struct {
	kept raft.StableStore

	mu   sync.Mutex
	is   bool      // guarded by mu
	when time.Time // guarded by mu; zero is before this process began
}

// newAway reads what was kept; a key that was never set is an error to some stores.
func newAway(kept raft.StableStore) *away {
	v, err := kept.GetUint64([]byte(keyDismissed))
	return &away{kept: kept, is: err == nil && v > 0}
}

func (a *away) told() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.is
}

func (a *away) tell(c clock.Clock) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.when = c.Now()
	if a.is {
		return nil
	}
	if err := a.kept.SetUint64([]byte(keyDismissed), 1); err != nil {
		return err
	}
	a.is = true
	return nil
}

// outlived takes note that this node is a member: when it is one long after it was told that
// it would be removed, the removal failed.
func (a *away) outlived(c clock.Clock) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.is || !a.when.IsZero() && clock.Since(c, a.when) < removeTime {
		return
	}
	if err := a.kept.SetUint64([]byte(keyDismissed), 0); err == nil {
		a.is = false
	}
}
