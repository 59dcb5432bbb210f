package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api/clock"
)

func TestPulse(t *testing.T) {
	p := newPulse(clock.System(), 400*time.Millisecond)
	at := func(ms int) time.Time { return p.began.Add(time.Duration(ms) * time.Millisecond) }
	for ms := 50; ms <= 1000; ms += 50 {
		p.beat(at(ms))
	}
	if !p.steadyAt(at(1040)) {
		t.Error("a process that beats is not steady")
	}
	// Stopped at 1040, goes on at 6000: what it reads first may be old.
	if p.steadyAt(at(6000)) {
		t.Error("steady before the first beat after a standstill")
	}
	p.beat(at(6001))
	for ms := 6001; ms <= 6401; ms += 50 {
		p.beat(at(ms))
		if p.steadyAt(at(ms)) {
			t.Errorf("steady %d ms after it woke", ms-6001)
		}
	}
	p.beat(at(6410))
	if !p.steadyAt(at(6420)) {
		t.Error("not steady a whole lease after it woke")
	}
}

// TestPulseStandstill: nothing beat for longer than the limit, and nothing has since.
func TestPulseStandstill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPulse(clock.System(), 400*time.Millisecond)
		clock.Sleep(t.Context(), beat)
		p.beat(p.clock.Now())
		if !p.steady() {
			t.Error("not steady after a beat")
		}
		clock.Sleep(t.Context(), time.Second)
		if p.steady() {
			t.Error("steady in a standstill")
		}
	})
}
