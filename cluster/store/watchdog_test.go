package store

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchdogReportsWhileTheDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []time.Duration
		w := newWatchdog(2*time.Second, time.Now, func(d time.Duration) { told = append(told, d) })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx)
		}()
		end := w.begin()
		time.Sleep(1900 * time.Millisecond)
		end()
		end = w.begin() // at 1.9 s
		w.begin()()
		time.Sleep(3 * time.Second) // to 4.9 s
		end()
		time.Sleep(10 * time.Second)
		stop()
		<-done
		want := []time.Duration{2100 * time.Millisecond, 2600 * time.Millisecond}
		if !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}
