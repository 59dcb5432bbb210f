package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api/clock"
)

// TestHush: a leader whose disk hangs says nothing, in that term, for that long.
func TestHush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &transport{quiet: hushed{clock: clock.System()}}
		said := func(term uint64) bool { return !tr.quiet.silent(term) }
		if !said(3) {
			t.Error("silent without a reason")
		}
		tr.hush(3, stallHush)
		if said(3) || said(2) {
			t.Error("a leader whose disk hangs speaks")
		}
		if !said(4) {
			t.Error("a leader that was elected again is silent")
		}
		time.Sleep(stallHush)
		if !said(3) {
			t.Error("silent for longer than it was told to")
		}
	})
}
