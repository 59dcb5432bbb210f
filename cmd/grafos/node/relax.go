package node

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is how much later than asked for the kernel may wake a thread of a scheduler; by
// itself it takes 50 us. Go's monitor thread, which sleeps for 20 us at a time while there is
// something to do, wakes a seventh as often then. No timer of a scheduler is as fine.
const timerSlack = 500 * time.Microsecond

// relax gives every thread that slack, those of Go's runtime and those to come too. It is about
// cost alone: where it cannot be done, as in a program with C in it, nothing else changes.
func relax() {
	_, _, _ = syscall.AllThreadsSyscall(syscall.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0)
}
