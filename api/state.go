package api

// LeaseState is where a lease is in its life. The labels are the same in state, audit,
// API, command line and console.
type LeaseState string

// The lease states of the protocol.
const (
	LeaseActive         LeaseState = "active"
	LeaseRevokeWarning  LeaseState = "revoke_warning"
	LeaseGraceRunning   LeaseState = "grace_running"
	LeaseCheckpoint     LeaseState = "checkpoint_reported"
	LeaseForcedTeardown LeaseState = "forced_teardown"
	LeaseExpired        LeaseState = "expired"
	LeaseTornDown       LeaseState = "torndown"
	LeaseFenced         LeaseState = "fenced"
	LeaseFailedClosed   LeaseState = "failed_closed"
)

// LeaseStates lists every state.
func LeaseStates() []LeaseState {
	return []LeaseState{
		LeaseActive, LeaseRevokeWarning, LeaseGraceRunning, LeaseCheckpoint,
		LeaseForcedTeardown, LeaseExpired, LeaseTornDown, LeaseFenced, LeaseFailedClosed,
	}
}

// Terminal reports whether the lease has ended.
func (s LeaseState) Terminal() bool {
	switch s {
	case LeaseTornDown, LeaseFenced, LeaseFailedClosed:
		return true
	case LeaseActive, LeaseRevokeWarning, LeaseGraceRunning, LeaseCheckpoint, LeaseForcedTeardown, LeaseExpired:
		return false
	}
	return false
}

// Usable reports whether the holder may still use the binding.
func (s LeaseState) Usable() bool {
	switch s {
	case LeaseActive, LeaseRevokeWarning, LeaseGraceRunning, LeaseCheckpoint:
		return true
	case LeaseForcedTeardown, LeaseExpired, LeaseTornDown, LeaseFenced, LeaseFailedClosed:
		return false
	}
	return false
}

// CanBecome is the transition table of the lease protocol:
//
//	active -> revoke_warning -> grace_running -> checkpoint_reported -> torndown | fenced | failed_closed
//	any non-terminal -> forced_teardown -> torndown | fenced | failed_closed
//	any non-terminal but forced_teardown -> expired -> torndown | fenced | failed_closed
func (s LeaseState) CanBecome(next LeaseState) bool {
	if s.Terminal() || s == next {
		return false
	}
	switch next {
	case LeaseActive:
		return false
	case LeaseRevokeWarning:
		return s == LeaseActive
	case LeaseGraceRunning:
		return s == LeaseRevokeWarning
	case LeaseCheckpoint:
		return s == LeaseGraceRunning
	case LeaseForcedTeardown:
		return true
	case LeaseExpired:
		return s != LeaseForcedTeardown
	case LeaseTornDown, LeaseFenced, LeaseFailedClosed:
		return s == LeaseCheckpoint || s == LeaseForcedTeardown || s == LeaseExpired
	}
	return false
}

// RunState is where a run is.
type RunState string

// The run states. Refused is never stored: a refused run has no record.
const (
	RunAdmitted  RunState = "admitted"
	RunPlaced    RunState = "placed"
	RunRunning   RunState = "running"
	RunSucceeded RunState = "succeeded"
	RunFailed    RunState = "failed"
	RunExpired   RunState = "expired"
	RunRevoked   RunState = "revoked"
	RunLost      RunState = "lost"
)

// Terminal reports whether the run has its result.
func (s RunState) Terminal() bool {
	switch s {
	case RunSucceeded, RunFailed, RunExpired, RunRevoked, RunLost:
		return true
	case RunAdmitted, RunPlaced, RunRunning:
		return false
	}
	return false
}

// CanBecome reports whether a run may go from s to next: forward only, and a result
// never changes (L8). The one way back is a lost attempt that is tried again: admitted.
func (s RunState) CanBecome(next RunState) bool {
	switch s {
	case RunAdmitted:
		return next != RunAdmitted
	case RunPlaced:
		return next == RunRunning || next == RunAdmitted || next.Terminal()
	case RunRunning:
		return next == RunAdmitted || next.Terminal()
	case RunSucceeded, RunFailed, RunExpired, RunRevoked, RunLost:
		return false
	}
	return false
}

// CellState is what a cell is, in one word, for people and scripts.
type CellState string

// The cell states. A cell's mode decides where its readiness does not.
const (
	CellRegistered  CellState = "registered"
	CellWarming     CellState = "warming"
	CellReady       CellState = "ready"
	CellUnhealthy   CellState = "unhealthy"
	CellDraining    CellState = "draining"
	CellDrained     CellState = "drained"
	CellMaintenance CellState = "maintenance"
	CellRevoked     CellState = "revoked"
)

// Priority says who yields to whom.
type Priority string

// The priorities: guaranteed is never preempted, standard yields to it, scavenger to both.
const (
	PriorityGuaranteed Priority = "guaranteed"
	PriorityStandard   Priority = "standard"
	PriorityScavenger  Priority = "scavenger"
)

// Valid reports whether p is one of the three.
func (p Priority) Valid() bool {
	switch p {
	case PriorityGuaranteed, PriorityStandard, PriorityScavenger:
		return true
	}
	return false
}

// RuntimeReadiness says whether a provider takes work.
type RuntimeReadiness string

// The four values; ready and degraded admit.
const (
	ProviderReady    RuntimeReadiness = "ready"
	ProviderDegraded RuntimeReadiness = "degraded"
	ProviderNotReady RuntimeReadiness = "not_ready"
	ProviderDisabled RuntimeReadiness = "disabled"
)
