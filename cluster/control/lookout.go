package control

import (
	"slices"
	"sync"
	"time"
)

// lookout looks, for all sessions of this node, whether something has changed that is in no state:
// whether the leader is heard, which schedulers live, what the timers are. Each session had a ticker
// of its own for that: a fleet of 10,000 cells woke 27,000 of them a second. There is a timer as long
// as there are sessions.
type lookout struct {
	look func() outlook

	mu    sync.Mutex
	held  int           // guarded by mu: the sessions
	timer *time.Timer   // guarded by mu; nil where there is none
	seen  outlook       // guarded by mu
	moved chan struct{} // guarded by mu: closed when it has changed
}

// outlook is what is looked at.
type outlook struct {
	lost             bool // the leader is not heard
	urls             []string
	heartbeat, limit time.Duration
}

func (o outlook) equal(p outlook) bool {
	return o.lost == p.lost && o.heartbeat == p.heartbeat && o.limit == p.limit && slices.Equal(o.urls, p.urls)
}

func newLookout(look func() outlook) *lookout {
	return &lookout{look: look, moved: make(chan struct{})}
}

// join counts a session, until the function returned is called.
func (l *lookout) join() (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held++; l.held == 1 {
		l.seen = l.look()
		l.timer = time.AfterFunc(touchCheck, l.tick)
	}
	return l.leave
}

func (l *lookout) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held--; l.held == 0 {
		l.timer.Stop()
		l.timer = nil
	}
}

// tick looks, and wakes everybody where something changed. While the leader is not heard that is
// each time: whoever was asleep when it was lost is to find out.
func (l *lookout) tick() {
	is := l.look()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer == nil {
		return
	}
	if is.lost || !is.equal(l.seen) {
		l.seen = is
		close(l.moved)
		l.moved = make(chan struct{})
	}
	l.timer.Reset(touchCheck)
}

// sessions counts them.
func (l *lookout) sessions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// changed is closed when something has changed since it was asked for.
func (l *lookout) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moved
}
