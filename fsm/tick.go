package fsm

import "github.com/grafos/grafos/api"

// Tick moves cluster time when nothing else does, and forgets what is long over. The leader
// sends it every second, and again while it forgets something: only grants forget too.
type Tick struct{}

// Kind returns KindTick.
func (Tick) Kind() Kind { return KindTick }

// apply prunes; the time of the entry has moved already.
func (Tick) apply(s *State) (Result, *api.Error) {
	s.prune(pruneStep)
	return Result{}, nil
}
