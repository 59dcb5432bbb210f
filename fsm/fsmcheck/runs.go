package fsmcheck

import (
	"slices"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// runSum is a run and how many of its leases have not ended.
type runSum struct {
	record *api.Run // nil when there is none
	live   int
}

func (c *Checker) run(id api.RunID) *runSum {
	s, ok := c.runs[id]
	if !ok {
		s = &runSum{}
		c.runs[id] = s
	}
	return s
}

// runChanged checks one write of a run.
func (c *Checker) runChanged(w fsm.Changed[api.Run], t touched, a audits) {
	if w.New == nil {
		c.runForgotten(*w.Old)
		return
	}
	now := *w.New
	s := c.run(now.ID)
	if w.Old == nil {
		c.want(s.record == nil, "L8", "run %s is made again", now.ID)
		c.want(now.State == api.RunPlaced && now.Attempt == 1, "L8", "run %s begins as %s in attempt %d", now.ID, now.State, now.Attempt)
		a.expect("run_placed", string(now.ID))
	} else {
		c.runMoved(*w.Old, now, s, a)
	}
	s.record = &now
	t.runs[now.ID] = true
}

func (c *Checker) runMoved(old, now api.Run, s *runSum, a audits) {
	c.want(s.record != nil && s.record.Modified == old.Modified && s.record.State == old.State, "L8", "run %s changes from what it was not", now.ID)
	switch {
	case old.State == api.RunAdmitted && now.State == api.RunPlaced:
		a.expect("run_placed", string(now.ID))
		c.want(now.Attempt == old.Attempt+1 && now.Attempt <= now.Retries+1, "L8", "run %s goes from attempt %d to %d of %d", now.ID, old.Attempt, now.Attempt, now.Retries+1)
	case old.State == now.State:
	default:
		c.want(old.State.CanBecome(now.State), "L8", "run %s becomes %s from %s", now.ID, now.State, old.State)
	}
	if !old.State.Terminal() {
		if now.State.Terminal() {
			a.expect("run_finished", string(now.ID))
		}
		return
	}
	same := old.State == now.State && old.ExitCode == now.ExitCode && old.Failure == now.Failure && old.FuelUsed == now.FuelUsed &&
		old.DurationMs == now.DurationMs && old.CPUMs == now.CPUMs && slices.Equal(old.Artifacts, now.Artifacts) && old.Ended == now.Ended
	c.want(same, "L8", "the result of run %s changes: %+v, it was %+v", now.ID, now, old)
	c.want(!old.Finalised, "L8", "run %s is finalised and changes", now.ID)
	if now.Finalised {
		a.expect("run_finalised", string(now.ID))
	}
}

func (c *Checker) runForgotten(r api.Run) {
	c.want(r.Finalised, "L8", "run %s is forgotten as %s, finalised: %v", r.ID, r.State, r.Finalised)
	c.want(len(c.runs) > fsm.MaxEnded || c.tick-r.Ended >= keepEnded, "L8", "run %s is forgotten %s after its end", r.ID, time.Duration(c.tick-r.Ended))
	delete(c.runs, r.ID)
}

// settled checks L8 when all changes of an entry are known: a run is finalised exactly when it
// has its result and its leases have ended.
func (c *Checker) settled(id api.RunID) {
	s, ok := c.runs[id]
	if !ok {
		return
	}
	if s.record == nil {
		c.want(s.live == 0, "L8", "run %s does not exist and has %d leases that have not ended", id, s.live)
		delete(c.runs, id)
		return
	}
	r := s.record
	c.want(r.Finalised == (r.State.Terminal() && s.live == 0), "L8", "run %s is %s with %d leases that have not ended, and finalised: %v", id, r.State, s.live, r.Finalised)
}
