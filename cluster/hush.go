package cluster

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api/clock"
)

// hushed is until when a node tells its followers nothing. The zero value is never.
type hushed struct {
	clock clock.Clock
	began time.Time
	until atomic.Int64 // since began
}

// errHushed is why nothing was sent.
var errHushed = errors.New("this leader's disk hangs: it says nothing, so that another one is elected")

// hush makes the node silent for d from now.
func (t *transport) hush(d time.Duration) {
	t.quiet.until.Store(int64(clock.Since(t.quiet.clock, t.quiet.began) + d))
}

// silent reports whether nothing may be sent now.
func (h *hushed) silent() bool {
	until := h.until.Load()
	return until > 0 && int64(clock.Since(h.clock, h.began)) < until
}
