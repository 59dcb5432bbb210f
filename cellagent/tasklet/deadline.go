package tasklet

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// killTimer is a POSIX timer of this process that kills it. The kernel keeps it: it needs no
// thread of this process to run and no other process to live.
type killTimer struct{ id int32 }

// sigevent is struct sigevent of 64-bit Linux.
type sigevent struct {
	value  uint64
	signo  int32
	notify int32
	_      [48]byte
}

const timerAbstime = 1 // TIMER_ABSTIME

// newKillTimer makes a disarmed timer on a clock; when it fires, it raises SIGKILL.
func newKillTimer(clock int32) (killTimer, error) {
	ev := sigevent{signo: int32(unix.SIGKILL)} // notify 0 is SIGEV_SIGNAL
	var t killTimer
	_, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE,
		uintptr(clock), uintptr(unsafe.Pointer(&ev)), uintptr(unsafe.Pointer(&t.id)))
	if errno != 0 {
		return t, fmt.Errorf("create kernel timer: %w", errno)
	}
	return t, nil
}

// newDeadlineTimer makes the timer of a run's deadline.
func newDeadlineTimer() (killTimer, error) { return newKillTimer(unix.CLOCK_BOOTTIME) }

// newCPUTimer makes the timer of a compilation: it counts the CPU time of this process.
func newCPUTimer() (killTimer, error) { return newKillTimer(unix.CLOCK_PROCESS_CPUTIME_ID) }

// at arms t for an absolute time of its clock; one that has passed kills at once.
func (t killTimer) at(ns int64) error { return t.set(timerAbstime, max(ns, 1)) }

// in arms t for d from now.
func (t killTimer) in(d time.Duration) error { return t.set(0, max(int64(d), 1)) }

// disarm stops t.
func (t killTimer) disarm() error { return t.set(0, 0) }

func (t killTimer) set(flags int, ns int64) error {
	// struct itimerspec: interval, then value.
	spec := [2]unix.Timespec{{}, unix.NsecToTimespec(ns)}
	_, _, errno := unix.Syscall6(unix.SYS_TIMER_SETTIME,
		uintptr(t.id), uintptr(flags), uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("set kernel timer: %w", errno)
	}
	return nil
}
