package fsm

import "github.com/grafos/grafos/api"

// progressed records how far the announced end of a lease has come on its cell. Who reports a
// checkpoint has told the holder before, whether or not that was reported. What was not announced, or
// has gone further by now, stays as it is: the report may be old.
func (s *State) progressed(cell api.CellID, p api.LeaseProgress, actor string) *api.Error {
	seen, refused := s.reported(cell, p.LeaseID, p.Epoch)
	if refused != nil {
		return refused
	}
	l := *seen
	if p.State != api.LeaseGraceRunning && p.State != api.LeaseCheckpoint {
		return api.Refuse(api.InvalidArgument, "a cell says that the grace of a lease is running or its checkpoint was reported, not what it said of %s", l.ID)
	}
	if l.State == api.LeaseRevokeWarning {
		s.advanceEnd(&l, api.LeaseGraceRunning, eventLeaseGrace, actor)
	}
	if l.State == api.LeaseGraceRunning && p.State == api.LeaseCheckpoint {
		s.advanceEnd(&l, api.LeaseCheckpoint, eventLeaseCheckpoint, actor)
	}
	return nil
}

func (s *State) advanceEnd(l *api.Lease, next api.LeaseState, kind, actor string) {
	s.turn(l, next, "")
	fact := s.leaseFact(l)
	s.eventLease(kind, actor, l, &fact)
}
