package sim

import (
	"time"

	"github.com/grafos/grafos/cellagent"
)

// bootClock is a machine's own clock: it runs from its boot, and a little fast or slow. It
// goes on while an agent stands still.
type bootClock struct {
	began time.Time
	ppm   int64
}

// Now returns nanoseconds since the boot.
func (c *bootClock) Now() int64 { return c.at(time.Now()) }

// at returns what the clock shows at a moment of the world.
func (c *bootClock) at(t time.Time) int64 {
	d := int64(t.Sub(c.began))
	return d + d/1_000_000*c.ppm
}

// BootID names the boot.
func (c *bootClock) BootID() string { return "boot-" + c.began.UTC().Format(time.RFC3339Nano) }

// agentClock is its machine's clock as one agent sees it: while the agent stands still, it looks
// at no clock and no alarm of it rings.
type agentClock struct {
	*bootClock
	p *proc
}

// Now returns nanoseconds since the boot, as the process sees them.
func (c agentClock) Now() int64 { return c.at(c.p.now()) }

// NewAlarm returns an alarm on this clock.
func (c agentClock) NewAlarm() (cellagent.Alarm, error) {
	return &alarm{clock: c.bootClock, p: c.p, c: make(chan struct{}, 1)}, nil
}

type alarm struct {
	clock *bootClock
	p     *proc
	c     chan struct{}
	timer *time.Timer
}

// Set replaces the time.
func (a *alarm) Set(at int64) error {
	if a.timer != nil {
		a.timer.Stop()
	}
	if at > 0 {
		left := at - a.clock.Now()
		left -= left / 1_000_000 * a.clock.ppm
		a.timer = time.AfterFunc(time.Duration(left), func() {
			if !a.p.awake() {
				return
			}
			select {
			case a.c <- struct{}{}:
			default:
			}
		})
	}
	return nil
}

// C gets a value when the time has come.
func (a *alarm) C() <-chan struct{} { return a.c }

// Close ends the alarm.
func (a *alarm) Close() error {
	if a.timer != nil {
		a.timer.Stop()
	}
	return nil
}
