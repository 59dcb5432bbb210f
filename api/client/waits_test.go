package client

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// TestWaitsIsTold: who wants to know what a call waits for is told so once it has waited for
// some seconds, seldom then, and anew when it was answered meanwhile.
func TestWaitsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []time.Duration
		began := time.Now()
		c := &Client{config: Config{Waiting: func(error) { told = append(told, time.Since(began)) }}}
		w := c.waits()
		for range 40 {
			w.failed(errors.New("nobody leads"))
			time.Sleep(time.Second)
		}
		if len(told) != 3 || told[0] != waitsFirst || told[1] != waitsFirst+waitsAgain {
			t.Errorf("told after %v", told)
		}
		w.answered()
		w.failed(errors.New("nobody leads"))
		time.Sleep(waitsFirst)
		w.failed(errors.New("nobody leads"))
		if len(told) != 4 {
			t.Errorf("told %d times", len(told))
		}
		(&Client{}).waits().failed(errors.New("to nobody"))
	})
}

// TestEventsAreWaitedFor: a stream that a scheduler refuses for want of a leader longer than a call
// may take goes on by itself where somebody is told why, and ends with an error where not.
func TestEventsAreWaitedFor(t *testing.T) {
	for _, patient := range []bool{true, false} {
		began := time.Now()
		c := served(t, func(w http.ResponseWriter, _ *http.Request) {
			if time.Since(began) < 500*time.Millisecond {
				p := api.Refuse(api.NoLeader, "nobody leads")
				p.RequestID = "r-1"
				refuse(w, p)
				return
			}
			_, _ = io.WriteString(w, `{"cursor":"7.0","type":"x"}`+"\n")
		})
		c.config.Timeout, c.config.Log = 100*time.Millisecond, hclog.NewNullLogger()
		if patient {
			c.config.Waiting = func(error) {}
		}
		got, last := "", error(nil)
		for e, err := range c.Events(t.Context(), api.EventFilter{From: api.FromNow}) {
			if got, last = e.Type, err; err == nil {
				break
			}
		}
		if patient && (last != nil || got != "x") || !patient && api.KindOf(last) != api.NoLeader {
			t.Errorf("patient %v: %q, %v", patient, got, last)
		}
	}
}

// TestPatientWithTheKnown: that nobody is reached is waited for where somebody was before, and
// a refusal never.
func TestPatientWithTheKnown(t *testing.T) {
	c := &Client{config: Config{Waiting: func(error) {}}}
	gone := &endedError{problem: api.Refuse(api.NoLeader, "nobody answered"), cause: io.EOF}
	for _, tt := range []struct {
		err  error
		met  bool
		want bool
	}{
		{gone, false, false},
		{gone, true, true},
		{api.Refuse(api.Forbidden, "no"), true, false},
		{api.Refuse(api.SchedulerRemoved, "no"), false, false},
	} {
		if got := c.patient(tt.err, tt.met); got != tt.want {
			t.Errorf("%v, met %v: %v", tt.err, tt.met, got)
		}
	}
}
