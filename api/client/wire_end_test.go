package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestWireOfARestartedScheduler: wires that the scheduler closed while they were idle fail no
// call, not even one that is made once.
func TestWireOfARestartedScheduler(t *testing.T) {
	var overWires atomic.Int32
	s := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 {
			overWires.Add(1)
		}
		answer(w, 7)
	})
	c := clientOf(t, 0, s)
	c.attempts = 1
	for i, age := range []time.Duration{0, wireSure + 1} {
		wired(t, c)
		if _, err := show(t.Context(), c); err != nil || overWires.Load() != int32(i+1) {
			t.Fatal(err, overWires.Load())
		}
		c.transport.CloseIdleConnections() // HTTP/2 begins anew
		s.CloseClientConnections()
		h := c.wires.at(s.URL)
		h.mu.Lock()
		h.idle[0].since = h.idle[0].since.Add(-age)
		h.mu.Unlock()
		if _, err := show(t.Context(), c); err != nil {
			t.Errorf("idle for %s: %v", age, err)
		}
		if open, idle := counts(c, s.URL); open != 0 || idle != 0 {
			t.Errorf("%d wires open, %d idle", open, idle)
		}
	}
}

// frozen is a server that takes requests and answers nothing, as a process that is stopped.
func frozen(t *testing.T) (s *httptest.Server, freeze func()) {
	t.Helper()
	thaw := make(chan struct{})
	var cold atomic.Bool
	s = overTLS(t, func(w http.ResponseWriter, _ *http.Request) {
		if cold.Load() {
			<-thaw
		}
		answer(w, 1)
	})
	t.Cleanup(func() { close(thaw) }) // before the server is closed
	return s, func() { cold.Store(true) }
}

// TestSilentWire: a scheduler that does not even say that it is alive is left for another one;
// one that does is waited for.
func TestSilentWire(t *testing.T) {
	const ping = 100 * time.Millisecond
	dead, freeze := frozen(t)
	var slow atomic.Bool
	other := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if slow.Load() && r.URL.Path != "/livez" {
			pause(r.Context(), 5*ping)
		}
		answer(w, 2)
	})
	c := clientOf(t, ping, dead, other)
	wired(t, c)
	if index, err := show(t.Context(), c); err != nil || index != 1 {
		t.Fatal(index, err)
	}
	freeze()
	began := time.Now()
	if index, err := show(t.Context(), c); err != nil || index != 2 {
		t.Fatal(index, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	slow.Store(true)
	wired(t, c)
	if index, err := show(t.Context(), c); err != nil || index != 2 {
		t.Error(index, err)
	}
	if open, idle := counts(c, other.URL); open != 1 || idle != 1 {
		t.Errorf("%d wires open, %d idle", open, idle)
	}
}

// TestCancelledWire: a call that is given up ends at once, and its answer is nobody else's.
func TestCancelledWire(t *testing.T) {
	var n atomic.Int32
	asked, let := make(chan struct{}, 1), make(chan struct{})
	s := overTLS(t, func(w http.ResponseWriter, _ *http.Request) {
		i := n.Add(1)
		if i == 2 {
			asked <- struct{}{}
			<-let
		}
		answer(w, int(i))
	})
	c := clientOf(t, time.Minute, s)
	wired(t, c)
	if index, err := show(t.Context(), c); err != nil || index != 1 {
		t.Fatal(index, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	_, err := show(ctx, c)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	close(let)
	if index, err := show(t.Context(), c); err != nil || index != 3 {
		t.Errorf("the next call is answered with %d, %v", index, err)
	}
}

// TestWireToNobody: a wire that cannot be opened fails no call.
func TestWireToNobody(t *testing.T) {
	s := overTLS(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 1) })
	c := clientOf(t, 0, s)
	h := c.wires.at(s.URL)
	h.addr = "127.0.0.1:1"
	for range 3 {
		pay(h)
		if _, err := show(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		c.wires.opened.Wait()
		if open, idle := counts(c, s.URL); open != 0 || idle != 0 || h.dialing != 0 {
			t.Errorf("%d wires open, %d idle, %d being opened", open, idle, h.dialing)
		}
	}
}

// TestCloseEndsOpening: closing a client ends the opening of wires, and closes those that are
// idle; it can be used again.
func TestCloseEndsOpening(t *testing.T) {
	s := overTLS(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 1) })
	c := clientOf(t, 0, s)
	wired(t, c)
	dial := c.wires.dial
	asked := make(chan struct{})
	c.wires.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		close(asked)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	h := c.wires.at(s.URL)
	w := h.begin()
	pay(h)
	if h.begin() != nil {
		t.Fatal("there was one wire")
	}
	<-asked
	h.put(w)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if open, idle := counts(c, s.URL); open != 0 || idle != 0 {
		t.Errorf("%d wires open, %d idle", open, idle)
	}
	c.wires.dial = dial
	wired(t, c)
	if _, idle := counts(c, s.URL); idle != 1 {
		t.Error("none is opened after that")
	}
}
