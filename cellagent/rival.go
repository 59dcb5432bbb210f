package cellagent

import (
	"time"

	"github.com/grafos/grafos/api"
)

const (
	// staleWait is the least time between two registrations of one agent, and rivalWait the longest: it is shorter than the
	// usual warm-up (30 s), so that a cell which two agents have in turn is ready with neither, and no lease is lost with it.
	staleWait = time.Second
	rivalWait = 20 * time.Second
	// rivalLook is how soon a registration has to be lost again, for that to be another agent's doing that goes on. It is
	// more than rivalWait: two that take the cell from each other are rivals also when both wait that long.
	rivalLook = time.Minute
)

// rivalry notices another agent under the same identity, as the clone of a host has: each takes the cell from the other,
// and without a pause neither would ever do anything else.
type rivalry struct {
	last  api.RegisterAnswer
	began int64 // ns on the cell's clock
	taken bool  // the registration is one that another agent had meanwhile
	wait  time.Duration
}

// registered is told of each registration. An agent's registration keeps its epoch until another agent has registered, but
// for a recovery of the cluster.
func (r *rivalry) registered(a *api.RegisterAnswer, now int64) {
	r.taken = r.last.Epoch != 0 && a.Epoch != r.last.Epoch && a.ClusterEpoch == r.last.ClusterEpoch
	r.last, r.began = *a, now
}

// superseded returns how long to wait before the next registration, and whether another agent seems to want the cell too.
func (r *rivalry) superseded(now int64) (wait time.Duration, rival bool) {
	if !r.taken || time.Duration(now-r.began) >= rivalLook {
		r.wait = staleWait
		return r.wait, false
	}
	r.wait = min(2*max(r.wait, staleWait), rivalWait)
	return r.wait, true
}
