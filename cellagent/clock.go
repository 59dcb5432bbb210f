package cellagent

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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

// bootClock is CLOCK_BOOTTIME.
type bootClock struct{ boot string }

// openBootClock reads the boot's id once.
func openBootClock() (*bootClock, error) {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("read boot id: %w", err)
	}
	boot := strings.TrimSpace(string(raw))
	if boot == "" {
		return nil, fmt.Errorf("read boot id: it is empty")
	}
	return &bootClock{boot: boot}, nil
}

// BootID returns the kernel's id of this boot.
func (c *bootClock) BootID() string { return c.boot }

// Now reads CLOCK_BOOTTIME.
func (c *bootClock) Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// The kernel has had this clock since 2.6.39; without it no lease can be kept.
		panic(fmt.Sprintf("read CLOCK_BOOTTIME: %v", err))
	}
	return ts.Nano()
}

// anchoredWall returns a wall clock that is read once and then advances with c, so that a
// stepped wall clock neither lengthens nor shortens the life of a token.
func anchoredWall(c Clock, wall time.Time) func() time.Time {
	start := c.Now()
	wall = wall.Round(0)
	return func() time.Time { return wall.Add(time.Duration(c.Now() - start)) }
}
