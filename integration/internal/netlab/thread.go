package netlab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// thread is an operating system thread with one goroutine on it, for what is bound to a
// thread. It ends with the goroutine: nobody else runs on what it leaves behind.
type thread struct {
	calls chan func()
	done  chan struct{}
}

func newThread() *thread {
	t := &thread{calls: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		runtime.LockOSThread()
		for f := range t.calls {
			f()
		}
	}()
	return t
}

// do runs f on the thread and returns its error. One call runs at a time.
func (t *thread) do(f func() error) error {
	result := make(chan error, 1)
	t.calls <- func() { result <- f() }
	return <-result
}

// close ends the thread and waits for it.
func (t *thread) close() {
	close(t.calls)
	<-t.done
}

// within runs f on the calling goroutine's thread, which is locked, inside a network
// namespace, and returns to its own.
func within(ns *os.File, f func() error) error {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("find own namespace: %w", err)
	}
	defer home.Close() //nolint:errcheck // nothing was written
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", ns.Name(), err)
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, &lostThreadError{back})
	}
	return err
}

// lostThreadError says that a thread could not return to its namespace.
type lostThreadError struct{ cause error }

func (e *lostThreadError) Error() string { return "leave namespace: " + e.cause.Error() }
