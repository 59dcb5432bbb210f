package fsm

import (
	"fmt"

	"github.com/grafos/grafos/api"
)

// RaiseLevel raises the cluster's feature level. The leader sends it when every member has
// said that it knows the level.
type RaiseLevel struct {
	Level Level `json:"level"`
}

// levelFact is what the audit chain says of a raised level.
type levelFact struct {
	Level  Level `json:"level"`
	Before Level `json:"level_before"`
}

// Kind returns KindRaiseLevel.
func (RaiseLevel) Kind() Kind { return KindRaiseLevel }

// apply never lowers the level: one that is reached already changes nothing. A level that
// this node does not know stops it, since it could not read what comes next.
func (c RaiseLevel) apply(s *State) (Result, *api.Error) {
	if c.Level > s.newest {
		s.fail(&UnknownLevelError{Level: c.Level, Newest: s.newest})
		return Result{}, nil
	}
	if c.Level <= s.meta.Level {
		return Result{}, nil
	}
	before := s.meta.Level
	s.meta.Level = c.Level
	s.audit(auditLevelRaised, scheduler, subject{}, levelFact{Level: c.Level, Before: before})
	return Result{}, nil
}

// UnknownLevelError says that the cluster is at a feature level that this node does not know.
type UnknownLevelError struct {
	Level  Level // of the cluster
	Newest Level // that this node knows
}

// Error says what is missing and what to do.
func (e *UnknownLevelError) Error() string {
	return fmt.Sprintf("the cluster is at feature level %d: this node knows levels 1 to %d: run a release that knows it here", e.Level, e.Newest)
}
