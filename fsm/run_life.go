package fsm

import (
	"fmt"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
)

// runFact is what events and the audit chain say of a run.
type runFact struct {
	Run      api.RunID      `json:"run_id"`
	Tenant   api.TenantID   `json:"tenant"`
	Provider api.ProviderID `json:"provider"`
	Cell     api.CellID     `json:"cell_id,omitempty"`
	State    api.RunState   `json:"state"`
	Attempt  int            `json:"attempt"`
	Module   api.Digest     `json:"module"`
	Leases   []api.LeaseID  `json:"lease_ids,omitempty"`
	ExitCode int            `json:"exit_code"`
	FuelUsed int64          `json:"fuel_used"`
	Failure  api.Failure    `json:"failure,omitzero"`
}

func runFactOf(r api.Run) runFact {
	return runFact{
		Run: r.ID, Tenant: r.Tenant, Provider: r.Provider, Cell: r.CellID, State: r.State, Attempt: r.Attempt,
		Module: r.Module, Leases: r.LeaseIDs, ExitCode: r.ExitCode, FuelUsed: r.FuelUsed, Failure: r.Failure,
	}
}

func runSubject(r api.Run) subject {
	return subject{Provider: r.Provider, Cell: r.CellID, Run: r.ID, Tenant: r.Tenant}
}

// finishRun stores a run's result, which never changes again (L8), and sends its leases to
// their teardown. A run whose leases have all ended is finalised with it.
func (s *State) finishRun(r api.Run, state api.RunState, actor string) {
	if !r.State.CanBecome(state) {
		s.fail(fmt.Errorf("run %s cannot become %s from %s", r.ID, state, r.State))
		return
	}
	r.State = state
	r.FinishedAt, r.Ended = s.Wall(), s.meta.Now
	s.putRun(r)
	s.audit(auditRunFinished, actor, runSubject(r), runFactOf(r))
	for _, l := range s.LeasesOfRun(r.ID) {
		if l.State != api.LeaseCheckpoint { // whose cell is ending it: nothing is forced
			s.forceDown(l.ID, ReasonReleased, actor, "")
		}
	}
	s.settleRun(r.ID)
}

// settleRun looks at a run one of whose leases has ended. When all of them have, a run with
// a result is finalised, once; one without gets the result that its leases tell, or waits to
// be placed again when it was lost and may be retried.
func (s *State) settleRun(id api.RunID) {
	r, ok := s.Run(id)
	if !ok || r.Finalised && !mutant.On(mutant.FinaliseTwice) || r.State == api.RunAdmitted {
		return
	}
	leases := s.LeasesOfRun(id)
	for _, l := range leases {
		if !l.State.Terminal() && (!mutant.On(mutant.FinaliseTwice) || !r.State.Terminal()) {
			return
		}
	}
	if r.State.Terminal() {
		r.Finalised, r.FinalisedAt = true, s.Wall()
		s.putRun(r)
		s.audit(auditRunFinalised, scheduler, runSubject(r), runFactOf(r))
		return
	}
	state, failure := verdict(r, leases)
	if state == api.RunLost && r.Attempt <= r.Retries {
		s.retryRun(r)
		return
	}
	r.Failure = failure
	s.finishRun(r, state, scheduler)
}

// retryRun makes a lost run wait to be placed again, on any cell: its leases there have all
// ended, so the lost attempt has stopped.
func (s *State) retryRun(r api.Run) {
	fact := runFactOf(r)
	fact.State = api.RunLost
	s.event(eventRunRetried, scheduler, runSubject(r), fact)
	s.touched.cells = append(s.touched.cells, r.CellID)
	r.State, r.CellID, r.LeaseIDs = api.RunAdmitted, "", []api.LeaseID{}
	s.putRun(r)
}

// verdict says what became of a run that reported no result, by the reasons of the leases
// of its last attempt.
func verdict(r api.Run, leases []api.Lease) (api.RunState, api.Failure) {
	current := make(map[api.LeaseID]bool, len(r.LeaseIDs))
	for _, id := range r.LeaseIDs {
		current[id] = true
	}
	state, reason := api.RunLost, ReasonLost
	silent := false // the cell never said how a lease ended
	for _, l := range leases {
		if !current[l.ID] {
			continue
		}
		silent = silent || l.State == api.LeaseFailedClosed
		switch l.Reason {
		case ReasonRevoked, ReasonCellRevoked, ReasonReleased:
			return api.RunRevoked, api.Failure{Kind: api.LeaseRevoked, Message: fmt.Sprintf("lease %s was ended before the run had a result: %s", l.ID, l.Reason)}
		case ReasonExpired:
			state = api.RunExpired
		default:
			reason = l.Reason
		}
	}
	// A cell that went silent took the run with it: that its leases then ran out is no
	// deadline of the run's, and its policy may try again.
	if state == api.RunExpired && silent {
		return api.RunLost, api.Failure{
			Kind:    api.WorkerLost,
			Message: fmt.Sprintf("attempt %d was lost with cell %s, which never said how it ended", r.Attempt, r.CellID),
		}
	}
	if state == api.RunExpired {
		return state, api.Failure{Kind: api.DeadlineExceeded, Message: fmt.Sprintf("the leases ran out after %d ms, before the run had a result", r.TTLMs)}
	}
	return state, api.Failure{Kind: api.WorkerLost, Message: fmt.Sprintf("attempt %d on cell %s ended without a result: %s", r.Attempt, r.CellID, reason)}
}
