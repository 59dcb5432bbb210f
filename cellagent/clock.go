package cellagent

import (
	"time"

	"github.com/grafos/grafos/api"
)

// Clock is the cell's own clock: it counts while the host is suspended, and nobody can set it.
type Clock interface {
	// Now returns nanoseconds since the boot.
	Now() int64
	// BootID names the boot; readings of two boots do not compare.
	BootID() string
	// NewAlarm returns an alarm on this clock.
	NewAlarm() (Alarm, error)
}

// Alarm wakes its one owner when the clock reaches a time, also right after a suspend.
type Alarm interface {
	// Set replaces the time; zero or less is never.
	Set(at int64) error
	// C gets a value when the time has come. A value may be stale: look at the clock.
	C() <-chan struct{}
	// Close ends the alarm and waits for what it started.
	Close() error
}

// stampOf reads the clock as a stamp.
func stampOf(c Clock) api.Stamp { return api.Stamp{BootID: c.BootID(), BootTime: c.Now()} }

// anchoredWall returns a wall clock that is read once and then advances with c, so that a
// stepped wall clock neither lengthens nor shortens the life of a token.
func anchoredWall(c Clock, wall time.Time) func() time.Time {
	start := c.Now()
	wall = wall.Round(0)
	return func() time.Time { return wall.Add(time.Duration(c.Now() - start)) }
}
