package tasklet

import (
	"time"
)

// guestEpoch is what every guest takes for the time of its start, 2022-01-01T00:00:00Z in
// Unix nanoseconds: a run repeated elsewhere sees the same clock.
const guestEpoch = 1_640_995_200_000_000_000

// guestStep is by how much the clock moves whenever it is read: programs that wait by
// looking at it get on.
const guestStep = int64(time.Millisecond)

// guestClock is the deterministic clock of one guest. It moves by reading and by sleeping;
// a guest sleeps for real, so that its pauses mean what they say. One guest is one
// goroutine: there is nothing to lock.
type guestClock struct {
	now int64 // ns since the guest's start
}

// nanotime is the guest's monotonic clock.
func (c *guestClock) nanotime() int64 {
	now := c.now
	c.now += guestStep
	return now
}

// walltime is the guest's wall clock.
func (c *guestClock) walltime() (sec int64, nsec int32) {
	t := guestEpoch + c.nanotime()
	return t / int64(time.Second), int32(t % int64(time.Second))
}

// nanosleep lets real time pass and the guest's with it. The kernel's timer ends a guest that
// sleeps beyond its deadline.
func (c *guestClock) nanosleep(ns int64) {
	if ns <= 0 {
		return
	}
	time.Sleep(time.Duration(ns))
	c.now += ns
}
