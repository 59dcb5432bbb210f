package sim

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// still is how a process stands still, as one does after SIGSTOP, and goes on. The goroutines
// of a bubble cannot be stopped, so everything by which they touch the world is: what they send
// and what was sent to them, answers that were under way too, waits until the process goes on;
// so do their writes to disk; and their clock stands, and jumps when it goes on. Raft's main
// loop, whose timers are its own, waits at the first line that it logs: it says so of every
// timeout before it draws a conclusion, so none is drawn before the process goes on.
type still struct {
	dice *dice
	dead <-chan struct{}

	mu    sync.Mutex
	on    chan struct{} // guarded by mu: closed when it goes on; nil while it runs
	since time.Time     // guarded by mu: since when it stands still
	went  time.Time     // guarded by mu: since when it goes on, or lives
}

// stand stops the process.
func (s *still) stand() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on == nil {
		s.on, s.since = make(chan struct{}), time.Now()
	}
}

// goOn lets it run again.
func (s *still) goOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on != nil {
		close(s.on)
		s.on, s.went = nil, time.Now()
	}
}

// wentOn is since when the process goes on, where it stood still, or lives.
func (s *still) wentOn() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.went
}

// stands reports whether the process stands still.
func (s *still) stands() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on != nil
}

// wakes is how long it takes at most until everybody in the process runs again: who is first
// is chance.
const wakes = 3 * time.Millisecond

// awake waits until the process runs; false is that it has died.
func (s *still) awake() bool {
	s.mu.Lock()
	on := s.on
	s.mu.Unlock()
	if on != nil {
		select {
		case <-on:
			time.Sleep(s.dice.between(0, wakes))
		case <-s.dead:
		}
	}
	select {
	case <-s.dead:
		return false
	default:
		return true
	}
}

// now is the time as the process sees it.
func (s *still) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on != nil {
		return s.since
	}
	return time.Now()
}

// ownClock is the clock of one process: that of the world, unless it stands still.
type ownClock struct {
	*wallClock
	p *proc
}

// Now is the bubble's time, as the process sees it.
func (c ownClock) Now() time.Time { return c.p.now() }

// stopLog is a log whose part for Raft holds up whoever writes while the process stands still.
type stopLog struct {
	hclog.Logger
	p    *proc
	raft bool
}

// Named returns the part called name.
func (l stopLog) Named(name string) hclog.Logger {
	return stopLog{l.Logger.Named(name), l.p, name == "raft"}
}

func (l stopLog) hold() {
	if l.raft {
		l.p.awake()
	}
}

// Debug writes a line.
func (l stopLog) Debug(msg string, args ...any) {
	l.hold()
	l.Logger.Debug(msg, args...)
}

// Info writes a line.
func (l stopLog) Info(msg string, args ...any) {
	l.hold()
	l.Logger.Info(msg, args...)
}

// Warn writes a line.
func (l stopLog) Warn(msg string, args ...any) {
	l.hold()
	l.Logger.Warn(msg, args...)
}

// Error writes a line.
func (l stopLog) Error(msg string, args ...any) {
	l.hold()
	l.Logger.Error(msg, args...)
}
