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
//
// Sessions wait in rooms, and rooms are woken one after the other: thousands that have something to
// write in the same moment would keep the messages of Raft waiting for seconds, and that in the very
// moment when a scheduler was lost and another leader is wanted. Nothing that is looked at is so urgent.
type lookout struct {
	look func() outlook

	mu    sync.Mutex
	held  int         // guarded by mu: the sessions
	came  int         // guarded by mu: those that ever joined
	timer *time.Timer // guarded by mu; nil where there is none
	steps int         // guarded by mu: until the next look
	seen  outlook     // guarded by mu
	rooms [rooms]room // guarded by mu
	next  int         // guarded by mu: the room that is woken next
}

// room is the sessions that are woken together.
type room struct {
	held  int
	due   bool
	moved chan struct{} // closed when it is woken
}

const (
	// rooms is how many there are.
	rooms = 256
	// wakeStep is the time between two rooms of a large fleet, wakes how many sessions are woken in it at
	// most, but for those of one room: some 2,000 a second, which is half of what a core does.
	wakeStep = 10 * time.Millisecond
	wakes    = 20
)

// outlook is what is looked at.
type outlook struct {
	lost             bool          // the leader is not heard
	silent           time.Duration // for so long
	urls             []string
	heartbeat, limit time.Duration
}

// equal leaves out for how long the leader is silent, which goes on.
func (o outlook) equal(p outlook) bool {
	return o.lost == p.lost && o.heartbeat == p.heartbeat && o.limit == p.limit && slices.Equal(o.urls, p.urls)
}

func newLookout(look func() outlook) *lookout {
	l := &lookout{look: look}
	for i := range l.rooms {
		l.rooms[i].moved = make(chan struct{})
	}
	return l
}

// stay is one session's.
type stay struct {
	l    *lookout
	room int
}

// join counts a session, until it leaves.
func (l *lookout) join() stay {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held++; l.held == 1 {
		l.seen, l.steps = l.look(), 0
		l.timer = time.AfterFunc(touchCheck, l.tick)
	}
	s := stay{l, l.came % rooms}
	l.came++
	l.rooms[s.room].held++
	return s
}

func (s stay) leave() {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rooms[s.room].held--
	if l.held--; l.held == 0 {
		l.timer.Stop()
		l.timer = nil
	}
}

// place is between 0 and 1: where the session stands among those of a large fleet.
func (s stay) place() float64 { return float64(s.room) / rooms }

// changed is closed when something has changed since it was asked for.
func (s stay) changed() <-chan struct{} {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	return s.l.rooms[s.room].moved
}

// lookSteps is how many steps are made between two looks while rooms are woken.
const lookSteps = int(touchCheck / wakeStep)

// tick looks, and wakes everybody where something changed, room by room. While the leader is not heard
// those are woken, with each look, whose sessions are to end.
func (l *lookout) tick() {
	is, looked := outlook{}, l.looks()
	if looked {
		is = l.look()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer == nil {
		return
	}
	if looked {
		l.find(is)
	}
	if l.wake() {
		l.timer.Reset(wakeStep)
		return
	}
	l.steps = 0
	l.timer.Reset(touchCheck)
}

// looks reports whether this step is one with a look.
func (l *lookout) looks() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.steps--; l.steps > 0 {
		return false
	}
	l.steps = lookSteps
	return true
}

// find says which rooms are to be woken. mu is held.
func (l *lookout) find(is outlook) {
	all := !is.equal(l.seen)
	l.seen = is
	spread := spreadOf(l.held, is.heartbeat, is.limit)
	for i := range l.rooms {
		ends := is.lost && is.silent > endsAfter(stay{l, i}.place(), spread)
		l.rooms[i].due = l.rooms[i].due || all || ends
	}
}

// wake wakes the next rooms that are due, and reports whether more are. mu is held.
func (l *lookout) wake() (more bool) {
	budget := wakes
	for range rooms {
		r := &l.rooms[l.next]
		if r.due && r.held > 0 && budget <= 0 {
			return true
		}
		if r.due && r.held > 0 {
			budget -= r.held
			close(r.moved)
			r.moved = make(chan struct{})
		}
		r.due = false
		l.next = (l.next + 1) % rooms
	}
	return false
}

// sessions counts them.
func (l *lookout) sessions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}
