package fsm

import "github.com/grafos/grafos/api"

// EndRun gives a run its result from outside: its owner cancelled it, or the leader gives up
// placing it again.
type EndRun struct {
	Actor  string       `json:"actor"`
	Idem   Idem         `json:"idem"`
	Run    api.RunID    `json:"run_id"`
	State  api.RunState `json:"state"` // revoked, expired or lost
	Reason string       `json:"reason,omitempty"`
}

// Kind returns KindEndRun.
func (EndRun) Kind() Kind { return KindEndRun }

func (c EndRun) idem() Idem { return c.Idem }

// apply stores the result at once and sends the run's leases to their teardown. Ending a run
// that has its result changes nothing (L8). It refuses an unknown run with not_found.
func (c EndRun) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkID("run id", string(c.Run)), checkText("reason", c.Reason, maxReason)); p != nil {
		return Result{}, p
	}
	failure := api.Failure{Message: c.Reason}
	switch c.State {
	case api.RunRevoked:
		failure.Kind = api.LeaseRevoked
	case api.RunExpired:
		failure.Kind = api.DeadlineExceeded
	case api.RunLost:
		failure.Kind = api.WorkerLost
	case api.RunAdmitted, api.RunPlaced, api.RunRunning, api.RunSucceeded, api.RunFailed:
		return Result{}, api.Refuse(api.InvalidArgument, "a run cannot be ended as %s: only its cell may say that", c.State)
	default:
		return Result{}, api.Refuse(api.InvalidArgument, "the state to end the run in is not one of revoked, expired, lost")
	}
	r, ok := s.Run(c.Run)
	if !ok {
		return Result{}, api.Refuse(api.NotFound, "run %s does not exist", c.Run)
	}
	if r.State.Terminal() {
		return Result{Run: r.ID}, nil
	}
	r.Failure = failure
	s.finishRun(r, c.State, c.Actor)
	return Result{Run: r.ID, Leases: r.LeaseIDs}, nil
}
