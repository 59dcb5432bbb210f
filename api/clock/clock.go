// Package clock is the one place where the control plane reads the time.
package clock

import (
	"context"
	"time"
)

// Clock is two clocks, and which of them a piece of code reads says what it may be wrong by.
type Clock interface {
	// Now carries a monotonic reading: what is subtracted from it is a duration that no step of
	// a wall clock changes. It is for every decision.
	Now() time.Time
	// Wall may jump, and disagrees between machines: it is for display, and for the ends of
	// certificates and login tokens.
	Wall() time.Time
}

// System returns the clocks of this machine.
func System() Clock { return system{} }

type system struct{}

// Now is the monotonic clock.
func (system) Now() time.Time { return time.Now() }

// Wall is the wall clock.
func (system) Wall() time.Time { return time.Now().Round(0) }

// Since is for how long t has been past, on c's monotonic clock.
func Since(c Clock, t time.Time) time.Duration { return c.Now().Sub(t) }

// Sleep waits for d, and reports whether ctx lasted that long. It is a pause between two looks or tries, and
// no deadline: those are kept by a Clock.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
