package leader

import (
	"time"

	"github.com/grafos/grafos/fsm"
)

// What a cell reports waits for others while nothing is in flight: an entry for each cell would
// cost as much as one for all of them. Nobody waits for a teardown; for a binding a client does, so
// that it waits only while others are outstanding. Where many are, much goes on, and a grant waits
// for others too, unless there are enough.
const (
	boundPatience = 3 * time.Millisecond
	endedPatience = 10 * time.Millisecond
	grantPatience = 2 * time.Millisecond
	// muchGoesOn is how many bindings are outstanding then.
	muchGoesOn = 32
	// Where many come, all that may wait waits for longer, patienceEach for each binding that is
	// outstanding, up to mostPatience: a request that has a thousand beside it waits for them in any
	// case, and what an entry costs, shared by a hundred of them, is little. Many come when one of
	// crowdParts of what is outstanding came in the patience before: bindings that are outstanding
	// because their cells are dead are no company.
	patienceEach = 20 * time.Microsecond
	mostPatience = 16 * time.Millisecond
	crowdParts   = 32
)

// enough is how many commands wait for nobody, and worthAnother how many are worth a second
// entry in flight, where so many bindings are outstanding.
func enough(unbound int) int       { return min(max(2*muchToDo, unbound/2), maxGroup) }
func worthAnother(unbound int) int { return min(max(muchToDo, unbound/4), maxGroup) }

// pending is what the planner has taken from the queue and put into no entry yet, and how
// many entries are in flight.
type pending struct {
	jobs   []*job
	flying int
	done   chan struct{} // one for each entry that no longer is

	urgent  bool          // something waits no longer
	bound   int           // bindings that wait for others
	grants  int           // and grants
	unbound func() int    // leases whose bindings are outstanding
	timer   *time.Timer   // ends the patience
	left    time.Duration // that the timer was given; 0 is that it does not run
	crowd   bool          // it was given more, since many come
}

func newPending(unbound func() int) *pending {
	p := &pending{done: make(chan struct{}, inFlight), unbound: unbound, timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	return p
}

// add takes a job.
func (p *pending) add(j *job) {
	p.jobs = append(p.jobs, j)
	patience, bound := patience(j)
	if j.grant != nil {
		p.grants++
		if p.unbound() >= muchGoesOn {
			patience = grantPatience
		}
	}
	p.bound += bound
	switch {
	case patience == 0:
		p.urgent = true
	case p.crowd:
	case p.left == 0 || patience < p.left:
		p.left = patience
		p.timer.Reset(patience)
	}
}

// begin starts anew when an entry was made. What is left has waited for long enough.
func (p *pending) begin() {
	p.urgent, p.bound, p.grants, p.left, p.crowd = len(p.jobs) > 0, 0, 0, 0, false
	p.timer.Stop()
}

// late is told that the patience is over.
func (p *pending) late() {
	unbound := p.unbound()
	more := min(time.Duration(unbound)*patienceEach, mostPatience) - p.left
	if p.crowd || more <= 0 || p.bound+p.grants < max(unbound/crowdParts, 2) {
		p.urgent = true
		return
	}
	p.crowd = true
	p.timer.Reset(more)
}

// ready reports whether the next entry may be made.
func (p *pending) ready() bool {
	switch {
	case len(p.jobs) == 0:
		return false
	case p.flying > 0:
		return p.flying < inFlight && len(p.jobs) >= worthAnother(p.unbound())
	}
	return p.urgent || len(p.jobs) >= enough(p.unbound()) || p.bound > 0 && p.bound >= p.unbound()
}

// patience is for how long a command may wait for others, and how many bindings it reports.
func patience(j *job) (d time.Duration, bound int) {
	r, ok := j.cmd.(fsm.ReportCell)
	switch {
	case !ok || len(r.Runs) > 0 || r.Inventory != nil:
		return 0, 0
	case len(r.Bound) > 0:
		return boundPatience, len(r.Bound)
	case len(r.Ended) > 0:
		return endedPatience, 0
	}
	return 0, 0
}
