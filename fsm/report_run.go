package fsm

import "github.com/grafos/grafos/api"

// ran records what a cell says of a run. A result is stored at once and never changes (L8);
// saying the same again is no error. A lost worker is no result while the run may be tried
// again: then its leases end first.
func (s *State) ran(cell api.CellID, rep api.RunReport, actor string) *api.Error {
	r, ok := s.Run(rep.RunID)
	if !ok {
		return api.Refuse(api.NotFound, "run %s does not exist", rep.RunID)
	}
	if r.CellID != cell || r.Attempt != rep.Attempt {
		return api.Refuse(api.StaleEpoch, "run %s is in attempt %d on cell %q, not in attempt %d on cell %q", r.ID, r.Attempt, r.CellID, rep.Attempt, cell)
	}
	if p := checkRunReport(rep); p != nil {
		return p
	}
	if r.State.Terminal() {
		if rep.State.Terminal() && rep.State != r.State {
			return api.Refuse(api.Conflict, "run %s has its result already: %s", r.ID, r.State)
		}
		return nil
	}
	if rep.State == api.RunRunning {
		if r.State == api.RunPlaced {
			r.State, r.StartedAt = api.RunRunning, s.Wall()
			s.putRun(r)
			s.event(eventRunRunning, actor, runSubject(r), runFactOf(r))
		}
		return nil
	}
	if rep.State == api.RunLost && r.Attempt <= r.Retries {
		for _, l := range s.LeasesOfRun(r.ID) {
			s.forceDown(l.ID, ReasonLost, actor, rep.Failure.Message)
		}
		return nil
	}
	r.ExitCode, r.FuelUsed, r.DurationMs = rep.ExitCode, rep.FuelUsed, rep.DurationMs
	r.Artifacts, r.Failure, r.Net = rep.Artifacts, rep.Failure, rep.Net
	if r.Artifacts == nil {
		r.Artifacts = []api.Artifact{}
	}
	if r.StartedAt.IsZero() {
		r.StartedAt = s.Wall()
	}
	s.finishRun(r, rep.State, actor)
	return nil
}

// checkRunReport refuses what no run can have done.
func checkRunReport(rep api.RunReport) *api.Error {
	switch rep.State {
	case api.RunRunning, api.RunSucceeded, api.RunFailed, api.RunExpired, api.RunRevoked, api.RunLost:
	case api.RunAdmitted, api.RunPlaced:
		return api.Refuse(api.InvalidArgument, "a cell does not say that run %s is %s", rep.RunID, rep.State)
	default:
		return api.Refuse(api.InvalidArgument, "run %s is in a state that does not exist", rep.RunID)
	}
	if rep.FuelUsed < 0 || rep.DurationMs < 0 {
		return api.Refuse(api.InvalidArgument, "run %s used %d fuel in %d ms: neither can be negative", rep.RunID, rep.FuelUsed, rep.DurationMs)
	}
	if n := rep.Net; n != nil && min(n.BytesOut, n.BytesIn, n.Flows, n.Denied) < 0 {
		return api.Refuse(api.InvalidArgument, "run %s has sent or received less than nothing", rep.RunID)
	}
	if len(rep.Artifacts) > MaxArtifacts {
		return api.Refuse(api.TooLarge, "run %s has %d artifacts: at most %d are taken", rep.RunID, len(rep.Artifacts), MaxArtifacts)
	}
	for _, a := range rep.Artifacts {
		if a.Size < 0 || a.Name == "" {
			return api.Refuse(api.InvalidArgument, "run %s has an artifact without a name or with a negative size", rep.RunID)
		}
		if p := first(checkText("artifact name", a.Name, api.MaxNameLen), api.Problem(api.CheckDigest(a.Digest))); p != nil {
			return p
		}
	}
	return first(checkText("failure kind", string(rep.Failure.Kind), maxCode), checkText("failure message", rep.Failure.Message, maxMessage))
}
