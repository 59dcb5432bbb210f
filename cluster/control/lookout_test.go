package control

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

// One look is enough for all sessions: nobody is woken while nothing changes, all of them when
// something does, and nothing looks when the last one has left.
func TestLookout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, is := 0, outlook{heartbeat: time.Second, urls: []string{"a"}}
		var mu sync.Mutex
		l := newLookout(func() outlook {
			mu.Lock()
			defer mu.Unlock()
			looks++
			return is
		})
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return looks
		}
		var leave []func()
		var last stay
		for range 100 {
			s := l.join()
			leave = append(leave, s.leave)
			last = s
		}
		moved := last.changed()
		time.Sleep(10*touchCheck + time.Millisecond)
		synctest.Wait()
		select {
		case <-moved:
			t.Fatal("woken, and nothing has changed")
		default:
		}
		if n := count(); n != 11 {
			t.Errorf("%d looks for 100 sessions, want 11", n)
		}
		for name, change := range map[string]func(){
			"schedulers": func() { is.urls = []string{"a", "b"} },
			"timers":     func() { is.heartbeat = 2 * time.Second },
			"no leader":  func() { is.silent = time.Hour },
		} {
			moved := last.changed()
			mu.Lock()
			change()
			mu.Unlock()
			time.Sleep(touchCheck + 100/wakes*wakeStep)
			synctest.Wait()
			select {
			case <-moved:
			default:
				t.Errorf("%s: nobody was woken", name)
			}
		}
		for _, f := range leave {
			f()
		}
		was := count()
		time.Sleep(10 * touchCheck)
		synctest.Wait()
		if count() != was {
			t.Error("it looks, and nobody is there")
		}
	})
}

// A large fleet does not leave a scheduler that misses its leader in one moment.
func TestSessionsEndOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 3000 {
			defer r.c.lookout.join().leave()
		}
		early, late := &watcher{c: r.c, here: stay{room: 0}}, &watcher{c: r.c, here: stay{room: rooms - 1}}
		r.touch = outOfTouch + time.Millisecond
		if early.inTouch() == nil || late.inTouch() != nil {
			t.Errorf("the first in line: %v, the last: %v", early.inTouch(), late.inTouch())
		}
		r.touch = outOfTouch + 3*time.Second
		if err := late.inTouch(); api.KindOf(err) != api.NoLeader {
			t.Errorf("the last in line: %v", err)
		}
	})
}

// However many they are, the last of them is heard elsewhere before its heartbeat limit.
func TestSessionsEndWithinTheLimit(t *testing.T) {
	for _, c := range []struct {
		sessions          int
		beat, limit, want time.Duration
	}{
		{3000, 5 * time.Second, 15 * time.Second, 3 * time.Second},
		{32768, 5 * time.Second, 15 * time.Second, 6 * time.Second},
		{32768, time.Second, 3 * time.Second, 0},
	} {
		if got := spreadOf(c.sessions, c.beat, c.limit); got != c.want {
			t.Errorf("%d sessions, a heartbeat each %s, limit %s: they end over %s, want %s", c.sessions, c.beat, c.limit, got, c.want)
		}
	}
}

// Whoever is woken has something to write: of a large fleet, so many at a time that others can run, and all
// in the end.
func TestSessionsWakeInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		is := outlook{urls: []string{"a", "b"}}
		l := newLookout(func() outlook {
			mu.Lock()
			defer mu.Unlock()
			return is
		})
		const many = 32768
		var woken int
		var wg sync.WaitGroup
		for range many {
			s := l.join()
			moved := s.changed()
			wg.Go(func() {
				defer s.leave()
				<-moved
				mu.Lock()
				woken++
				mu.Unlock()
			})
		}
		mu.Lock()
		is.urls = []string{"a"}
		mu.Unlock()
		count := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return woken
		}
		time.Sleep(touchCheck) // the first step is made with the look
		before := count()
		for before < many {
			time.Sleep(wakeStep)
			now := count()
			if now == before || now-before > wakes {
				t.Errorf("%d sessions wake in one step, after %d of %d", now-before, before, many)
			}
			before = max(now, before+1)
		}
		wg.Wait()
	})
}
