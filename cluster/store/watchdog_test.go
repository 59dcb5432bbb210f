package store

import (
	"context"
	"slices"
	"sync/atomic"
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

// TestWatchdogOfAProcessThatStoodStill: a write that was under way when the process was stopped
// is no stall of the disk; one that goes on hanging is.
func TestWatchdogOfAProcessThatStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stood atomic.Int64 // what the ticker did not see
		var told atomic.Int64
		w := newWatchdog(2*time.Second, func() time.Time { return time.Now().Add(time.Duration(stood.Load())) }, func(time.Duration) { told.Add(1) })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx)
		}()
		time.Sleep(5100 * time.Millisecond)
		end := w.begin()
		time.Sleep(300 * time.Millisecond)
		stood.Store(int64(time.Minute))
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if told.Load() > 0 {
			t.Error("a process that stood still blames its disk")
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if told.Load() == 0 {
			t.Error("a write that hangs on is not told")
		}
		end()
		stop()
		<-done
	})
}

// TestPending is asked for whenever somebody wants to know, between two ticks too.
func TestPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{watch: newWatchdog(2*time.Second, time.Now, func(time.Duration) {})}
		if d := l.Pending(); d != 0 {
			t.Errorf("pending for %s", d)
		}
		end := l.watch.begin()
		time.Sleep(150 * time.Millisecond)
		if d := l.Pending(); d != 150*time.Millisecond {
			t.Errorf("pending for %s", d)
		}
		end()
		if d := l.Pending(); d != 0 {
			t.Errorf("pending for %s", d)
		}
	})
}
