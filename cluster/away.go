package cluster

import (
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// keyDismissed is the stable value of a node that was told that an operator removes it,
// keyDismissal who and why.
const (
	keyDismissed = "GrafosDismissed"
	keyDismissal = "GrafosDismissal"
)

// away is whether this node was told to stay away should it find that it is no member. It is
// told so before it is removed, while it can be reached: from the log it learns only that it was
// removed, as it does when it was taken for dead.
type away struct {
	kept raft.StableStore
	is   atomic.Bool
	who  atomic.Pointer[api.Dismissal] // nil where it is not known
	turn chan struct{}                 // holds one: who changes it; the disk may hang meanwhile
	when time.Time                     // guarded by turn; when it was told, or began with what is kept
}

// newAway reads what was kept; a key that was never set is an error to some stores.
func newAway(kept raft.StableStore, c clock.Clock) *away {
	a := &away{kept: kept, turn: make(chan struct{}, 1), when: c.Now()}
	v, err := kept.GetUint64([]byte(keyDismissed))
	a.is.Store(err == nil && v > 0)
	if text, err := kept.Get([]byte(keyDismissal)); err == nil && len(text) > 0 {
		var d api.Dismissal
		if json.Unmarshal(text, &d) == nil {
			a.who.Store(&d)
		}
	}
	return a
}

// by says who told it, and why.
func (a *away) by() string {
	if d := a.who.Load(); d != nil {
		return d.String()
	}
	return ""
}

// told does not wait for the disk.
func (a *away) told() bool { return a.is.Load() }

// tell keeps who before it keeps that: the second is what counts.
func (a *away) tell(c clock.Clock, d api.Dismissal) error {
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	a.when = c.Now()
	if a.is.Load() {
		return nil
	}
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if err := a.kept.Set([]byte(keyDismissal), text); err != nil {
		return err
	}
	a.who.Store(&d)
	if err := a.kept.SetUint64([]byte(keyDismissed), 1); err != nil {
		return err
	}
	a.is.Store(true)
	return nil
}

// outlived takes note that this node is a member: when it is one long after it was told that
// it would be removed, the removal failed.
func (a *away) outlived(c clock.Clock) {
	if !a.is.Load() {
		return
	}
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	if !a.is.Load() || clock.Since(c, a.when) < 2*removeTime {
		return
	}
	if err := a.kept.SetUint64([]byte(keyDismissed), 0); err == nil {
		a.is.Store(false)
	}
}
