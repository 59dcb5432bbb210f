package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/fsm"
)

// sink is a snapshot's file behind the compressor, as a scheduler writes it.
type sink struct {
	f *os.File
	z *zstd.Encoder
}

func (s *sink) Write(p []byte) (int, error) { return s.z.Write(p) }
func (s *sink) ID() string                  { return "bench" }
func (s *sink) Cancel() error               { return nil }
func (s *sink) Close() error                { return errors.Join(s.z.Close(), s.f.Sync()) }

// snapshotOf measures a snapshot of a world: how long entries take while it is written, how
// large it is, how long it takes to restore. It takes the world apart.
func (b *bench) snapshotOf(w *world) (err error) {
	f, err := os.CreateTemp("", "grafos-snapshot-")
	if err != nil {
		return fmt.Errorf("make snapshot file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	quiet, err := w.stalls(func() bool { return false }, 400)
	if err != nil {
		return err
	}
	snap, err := w.m.Snapshot()
	if err != nil {
		return err
	}
	var done atomic.Bool
	written := make(chan error, 1)
	start := time.Now()
	go func() {
		err := snap.Persist(&sink{f, z})
		done.Store(true)
		written <- err
	}()
	busy, serr := w.stalls(done.Load, 1<<30)
	if err := errors.Join(<-written, serr); err != nil {
		return err
	}
	write := time.Since(start)
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	counts := w.m.View().Counts()
	*w = world{}
	before := heap()
	m, restore, err := restored(f)
	if err != nil {
		return err
	}
	after := heap()
	runtime.KeepAlive(m)
	b.say("state snapshot leases=%d keys=%d file_mb=%.1f write_s=%.1f apply_p50_ms=%.2f apply_p99_ms=%.2f apply_max_ms=%.2f apply_cpu_p99_ms=%.2f apply_cpu_max_ms=%.2f before_p99_ms=%.2f before_max_ms=%.2f entries=%d restore_s=%.1f restored_bytes_per_lease=%d aim=150MB,10ms,15s",
		counts.LiveLeases, counts.Keys, float64(size)/1e6, write.Seconds(), at(busy.wall, 500), at(busy.wall, 990), at(busy.wall, 1000),
		at(busy.cpu, 990), at(busy.cpu, 1000), at(quiet.wall, 990), at(quiet.wall, 1000), len(busy.wall), restore.Seconds(), (after-before)/uint64(counts.LiveLeases))
	return nil
}

// at returns a permille of sorted durations, in milliseconds.
func at(d []time.Duration, permille int) float64 {
	return float64(d[min(len(d)-1, len(d)*permille/1000)].Microseconds()) / 1000
}

// stalls is how long entries took, and how much of it was their own thread's work: on a machine
// that does other things, the rest is those.
type stalls struct{ wall, cpu []time.Duration }

// threadTime is the processor time of this thread so far.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// stalls applies entries at a pace, 64 grants each or their reports, until done says so or
// most were applied, and returns how long each took.
func (w *world) stalls(done func() bool, most int) (stalls, error) {
	const group, pace = 64, 4 * time.Millisecond
	runtime.LockOSThread() // its processor time is looked at
	defer runtime.UnlockOSThread()
	var took stalls
	apply := func(cs ...fsm.Command) error {
		e, err := w.entry(cs...)
		if err != nil {
			return err
		}
		next := time.After(pace)
		cpu, start := threadTime(), time.Now()
		out := w.m.Apply(e)
		took.wall = append(took.wall, time.Since(start))
		took.cpu = append(took.cpu, threadTime()-cpu)
		<-next
		return check(out)
	}
	for !done() && len(took.wall) < most {
		cs, leases := w.grants(group)
		if err := apply(cs...); err != nil {
			return took, err
		}
		if err := apply(w.reports(leases, bind)...); err != nil {
			return took, err
		}
		if err := apply(w.frees(w.made[:group])...); err != nil {
			return took, err
		}
		if err := apply(w.reports(w.made[:group], tearDown)...); err != nil {
			return took, err
		}
		w.made = append(w.made[group:], leases...)
	}
	slices.Sort(took.wall)
	slices.Sort(took.cpu)
	return took, nil
}

// restored measures a restore through the decompressor, as a scheduler does it.
func restored(f *os.File) (*fsm.Machine, time.Duration, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, 0, err
	}
	start := time.Now()
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, 0, err
	}
	m := fsm.New(fsm.Options{Log: hclog.NewNullLogger()})
	if err := m.Restore(z.IOReadCloser()); err != nil {
		return nil, 0, err
	}
	return m, time.Since(start), nil
}
