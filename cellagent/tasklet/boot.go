package tasklet

import "golang.org/x/sys/unix"

// BootTime returns CLOCK_BOOTTIME in nanoseconds: time since the host started, sleep
// included. Nobody can set it, so a deadline in it never moves.
func BootTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// The clock exists on every kernel that Go runs on; a deadline in a clock
		// that cannot be read is one that has passed.
		return int64(^uint64(0) >> 1)
	}
	return ts.Nano()
}
