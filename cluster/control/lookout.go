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
// moment when a scheduler was lost and another leader is wanted. Those whose session is to end come first.
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
	last  int         // guarded by mu: the one from which on those are looked for that end
}

// room is the sessions that are woken together.
type room struct {
	held int
	// news says that it is to be woken, and ends that before those that only have news.
	news, ends bool
	moved      chan struct{} // closed when it is woken
}

const (
	// rooms is how many there are: so many that one of 32,768 sessions has fewer than are woken in a step.
	rooms = 2048
	// wakeStep is the time in which so many sessions are woken at most: 2,000 a second, which is half of
	// what a core does.
	wakeStep = 10 * time.Millisecond
	wakes    = 20
	// lookSteps is how many steps are made between two looks while rooms are woken.
	lookSteps = int(touchCheck / wakeStep)
)

// outlook is what is looked at.
type outlook struct {
	silent           time.Duration // since the leader was heard
	urls             []string
	heartbeat, limit time.Duration
}

// equal leaves out for how long the leader is silent, which goes on.
func (o outlook) equal(p outlook) bool {
	return o.heartbeat == p.heartbeat && o.limit == p.limit && slices.Equal(o.urls, p.urls)
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

// tick looks, and wakes everybody where something changed, room by room. While the leader is not heard
// those are woken, after each look, whose sessions are to end.
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
		r := &l.rooms[i]
		r.news = r.news || all
		r.ends = is.silent > endsAfter(stay{l, i}.place(), spread)
	}
}

// wake wakes the next rooms, and reports whether more are to be woken. mu is held.
func (l *lookout) wake() (more bool) {
	budget := wakes
	for range rooms {
		if r := &l.rooms[l.last]; r.ends && !r.wake(&budget) {
			return true
		}
		l.last = (l.last + 1) % rooms // one whose cell does not read is not in the way of the others
	}
	for range rooms {
		if !l.rooms[l.next].wake(&budget) {
			return true
		}
		l.next = (l.next + 1) % rooms
	}
	return false
}

// wake wakes a room that has a reason, and reports whether the budget had room for it; the first always has.
func (r *room) wake(budget *int) bool {
	if !r.news && !r.ends || r.held == 0 {
		r.news, r.ends = false, false
		return true
	}
	if r.held > *budget && *budget < wakes {
		return false
	}
	*budget -= r.held
	close(r.moved)
	r.moved = make(chan struct{})
	r.news, r.ends = false, false
	return true
}

// sessions counts them.
func (l *lookout) sessions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}
