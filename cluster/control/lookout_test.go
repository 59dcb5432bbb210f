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
		for range 100 {
			leave = append(leave, l.join())
		}
		moved := l.changed()
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
			"no leader":  func() { is.lost = true },
		} {
			moved := l.changed()
			mu.Lock()
			change()
			mu.Unlock()
			time.Sleep(touchCheck)
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
			defer r.c.lookout.join()()
		}
		early, late := &watcher{c: r.c, place: 0}, &watcher{c: r.c, place: 0.99}
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
