package api

import "time"

const (
	// HeartbeatMost is the longest interval that a large fleet is given: a grant needs a heartbeat that
	// is younger than DeliveryBound, with room for its way.
	HeartbeatMost = 5 * time.Second
	// CellPing is how often a cell probes a connection that says nothing. It is more than a heartbeat:
	// the one that carries them needs no other probe, and only the warm standbys of a fleet are probed.
	CellPing = 6 * time.Second
	// heartbeatStep is what the interval changes by, so that not every cell that comes changes it, and
	// heartbeatsOverdue how many of them a cell may miss.
	heartbeatStep     = 250 * time.Millisecond
	heartbeatsOverdue = 3
)

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
