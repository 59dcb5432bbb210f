package cellagent

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// timerAlarm is a timerfd on CLOCK_BOOTTIME. Go's own timers run on CLOCK_MONOTONIC, which
// stands still while the host is suspended and would lengthen leases by as much.
type timerAlarm struct {
	file *os.File
	c    chan struct{}
	wg   sync.WaitGroup
}

// NewAlarm opens a timerfd and starts the goroutine that reads it.
func (c *bootClock) NewAlarm() (Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timerfd: %w", err)
	}
	a := &timerAlarm{file: os.NewFile(uintptr(fd), "timerfd"), c: make(chan struct{}, 1)}
	a.wg.Go(a.read)
	return a, nil
}

// Set arms the timer for an absolute time; one that has passed fires at once.
func (a *timerAlarm) Set(at int64) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(at, 0))}
	raw, err := a.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("set timerfd: %w", err)
	}
	var setErr error
	if err := raw.Control(func(fd uintptr) {
		setErr = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &spec, nil)
	}); err != nil {
		return fmt.Errorf("set timerfd: %w", err)
	}
	if setErr != nil {
		return fmt.Errorf("set timerfd: %w", setErr)
	}
	return nil
}

// C gets a value when the timer fired.
func (a *timerAlarm) C() <-chan struct{} { return a.c }

// Close ends the reader and waits for it.
func (a *timerAlarm) Close() error {
	err := a.file.Close()
	a.wg.Wait()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func (a *timerAlarm) read() {
	var count [8]byte
	for {
		if _, err := a.file.Read(count[:]); err != nil {
			return // closed
		}
		select {
		case a.c <- struct{}{}:
		default: // one is waiting already
		}
	}
}
