package leader

import (
	"math"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

const (
	// flapsAt is how often a cell may lose its health lately before it flaps, flapHalf in what time
	// that counts half.
	flapsAt  = 3
	flapHalf = 5 * time.Minute
	// flapMost bounds by how much the warm-up of a cell that flaps is longer.
	flapMost = 8
)

// flaps is how often cells lost their health: whatever took it, silence, another agent or what its
// certificate says. A cell that comes and goes costs its provider more than one that is away.
type flaps map[api.CellID]*falls

// falls is one cell's.
type falls struct {
	met   bool // at the last look
	score float64
	at    time.Time // of score
	seen  time.Time
}

// see looks at a cell, and returns how often it fell lately.
func (m flaps) see(c *api.CellRecord, now time.Time) int {
	f, known := m[c.ID]
	if !known {
		f = &falls{met: c.Healthy.Met, at: now}
		if c.Healthy.Code == fsm.CodeFlapping {
			f.score = flapsAt // the leader before this one has counted them
		}
		m[c.ID] = f
	}
	f.seen = now
	f.score *= math.Exp2(-now.Sub(f.at).Seconds() / flapHalf.Seconds())
	f.at = now
	if f.met && !c.Healthy.Met && c.Healthy.Code != massSilenceCode && !c.Revoked && !c.Revoking {
		f.score++
	}
	f.met = c.Healthy.Met
	return int(math.Round(f.score))
}

// forget drops the cells that are not there any more.
func (m flaps) forget(now time.Time) {
	for id, f := range m {
		if f.seen != now {
			delete(m, id)
		}
	}
}

// longer is the warm-up of a cell that fell so often: twice as long with each fall from flapsAt on.
func longer(warmup time.Duration, falls int) time.Duration {
	if falls < flapsAt {
		return warmup
	}
	return warmup * time.Duration(min(1<<min(falls-flapsAt+1, 10), flapMost))
}
