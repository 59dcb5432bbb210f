package server

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

// The newest is the next, and who waits for too long is turned away.
func TestDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(1)
		if !d.enter(false) {
			t.Fatal("a free place is refused")
		}
		var mu sync.Mutex
		var order []int
		var turned atomic.Int32
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				if !d.enter(false) {
					turned.Add(1)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			time.Sleep(time.Second)
			synctest.Wait()
		}
		d.leave() // three seconds after the first came: it has just given up, or its turn never comes
		synctest.Wait()
		d.leave()
		synctest.Wait()
		wg.Wait()
		if len(order) != 2 || order[0] != 2 || order[1] != 1 || turned.Load() != 1 {
			t.Errorf("came in as %v, %d turned away", order, turned.Load())
		}
		d.leave()
		if !d.enter(false) {
			t.Error("the place is lost")
		}
	})
}

// Whoever was inside once comes in before all newcomers, the newest first of both; and where too many wait,
// the next is refused at once.
func TestDoorServesWhomItServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(1)
		d.most = 4
		if !d.enter(false) {
			t.Fatal("a free place is refused")
		}
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i, again := range []bool{true, false, true, false} {
			wg.Go(func() {
				if !d.enter(again) {
					t.Errorf("%d is turned away", i)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				synctest.Wait()
				d.leave()
			})
			synctest.Wait()
		}
		began := time.Now()
		if d.enter(true) || time.Since(began) > 0 {
			t.Error("one too many waits")
		}
		d.leave()
		wg.Wait()
		if !slices.Equal(order, []int{2, 0, 3, 1}) {
			t.Errorf("came in as %v", order)
		}
		if !d.enter(false) || d.fresh.Len()+d.again.Len() != 0 {
			t.Error("a place is lost, or somebody still waits")
		}
	})
}

// A connection that had a place comes back as one that had.
func TestConnectionComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		d := newDoor(1)
		c := &gatheringConn{Conn: ours, door: d}
		go func() {
			_, _ = theirs.Write([]byte("hello"))
			_, _ = theirs.Write([]byte("finished"))
		}()
		if _, err := c.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		c.leave()
		d.enter(false) // another's
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = c.Read(make([]byte, 16))
		}()
		synctest.Wait()
		if d.again.Len() != 1 || d.fresh.Len() != 0 {
			t.Errorf("%d wait again, %d for the first time", d.again.Len(), d.fresh.Len())
		}
		d.leave()
		<-done
		_, _ = c.Close(), theirs.Close()
	})
}

// Connections that begin a handshake and say no more hold no place: others come in.
func TestSilentHandshakesHoldNoPlace(t *testing.T) {
	n := start(t, nil)
	for range 50 {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", n.url[len("https://"):])
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := c.Write([]byte{22, 3, 1, 2, 0, 1}); err != nil { // the head of a hello, and no more
			t.Fatal(err)
		}
	}
	for range 20 {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		c, err := d.DialContext(t.Context(), "tcp", n.url[len("https://"):])
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := dial(t, api.RoleOperator, n).ListCells(t.Context(), "", api.ReadOptions{}); err != nil {
		t.Error(err)
	}
}

// Sessions have room of their own, and one cell takes no more than a few of it.
func TestSessionsHaveRoom(t *testing.T) {
	for _, c := range []struct {
		most, fit int
		says      string
	}{
		{3, 3, "holds 3 sessions already"},
		{100, sessionsOfOne, "has 16 streams"},
	} {
		n := start(t, func(conf *Config) { conf.MaxSessions, conf.MaxInFlight = c.most, 1 })
		n.fake.hold = true
		h := raw(t, api.RoleCell)
		path := n.url + "/api/v1/cells/aws-1/watch?cell_epoch=1&standby=true"
		for range c.fit {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := h.Do(r)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("a session of %d: %v", c.fit, err)
			}
			defer func() { _ = resp.Body.Close() }()
		}
		status, p := ask(t, h, http.MethodGet, path, nil)
		if status != http.StatusTooManyRequests || p.Kind != api.Overloaded || !strings.Contains(p.Detail, c.says) || p.RetryAfterMs <= 0 {
			t.Errorf("one session too many: %d %+v", status, p)
		}
		if _, err := dial(t, api.RoleCell, n).Report(t.Context(), "aws", "aws-1", api.Report{}); err != nil {
			t.Errorf("a report found no room: %v", err)
		}
	}
}
