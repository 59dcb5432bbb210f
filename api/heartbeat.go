package api

import "time"

const (
	// HeartbeatMost is the longest interval that a large fleet is given: a grant needs a heartbeat that
	// is younger than DeliveryBound, with room for its way.
	HeartbeatMost = 5 * time.Second
	// StandbyBeats is over how many heartbeats the standbys of a fleet come back after a scheduler is gone: cells
	// that have no session at all are in the same queue, and are to be through before they are overdue.
	StandbyBeats = 3
	// heartbeatStep is what the interval changes by, so that not every cell that comes changes it, and
	// heartbeatsOverdue how many of them a cell may miss.
	heartbeatStep     = 250 * time.Millisecond
	heartbeatsOverdue = 3
)

// The bounds of SessionPing.
const (
	sessionPingLeast = 2 * time.Second
	sessionPingMost  = 6 * time.Second
)

// SessionPing returns for how long a cell's session or standby may be silent before it is probed. It is more
// than a heartbeat: the connection that carries them needs no other probe, and of a fleet only the standbys
// are probed.
func SessionPing(heartbeat time.Duration) time.Duration {
	return min(max(heartbeat*6/5, sessionPingLeast), sessionPingMost)
}

// FleetTimers returns the heartbeat interval of a fleet, and after how long without one a cell is
// overdue. Both are what was configured while the fleet is small; then the interval grows with it, so
// that about 1,000 heartbeats come in a second, to HeartbeatMost.
func FleetTimers(heartbeat, limit time.Duration, cells int) (interval, overdue time.Duration) {
	share := time.Duration(cells) * time.Millisecond
	share += (heartbeatStep - share%heartbeatStep) % heartbeatStep
	if share > heartbeatStep { // the smallest fleets have what was configured, whatever that is
		heartbeat = max(heartbeat, min(share, HeartbeatMost))
	}
	if share > heartbeatStep {
		limit = max(limit, heartbeatsOverdue*heartbeat)
	}
	return heartbeat, limit
}
