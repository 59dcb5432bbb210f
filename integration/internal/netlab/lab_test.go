package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func lab(t *testing.T, names ...string) *Lab {
	t.Helper()
	if err := Available(); err != nil {
		t.Skipf("no network can be built here: %v", err)
	}
	l, err := Open(t.Context(), 1, names...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// wire is numbered datagrams from one host to another.
type wire struct {
	from, to net.PacketConn
	addr     *net.UDPAddr
}

func newWire(t *testing.T, from, to *Host) *wire {
	t.Helper()
	w := &wire{}
	for h, conn := range map[*Host]*net.PacketConn{from: &w.from, to: &w.to} {
		err := h.Run(func() (err error) {
			*conn, err = net.ListenPacket("udp4", h.Addr.String()+":0")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = (*conn).Close() })
	}
	w.addr, _ = w.to.LocalAddr().(*net.UDPAddr)
	return w
}

// arrival is one datagram at its receiver.
type arrival struct {
	number int
	took   time.Duration
}

// send sends n datagrams with a pause in between, and returns what arrived within wait after
// the last one.
func (w *wire) send(t *testing.T, n int, pause, wait time.Duration) []arrival {
	t.Helper()
	if err := w.to.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	began, done := time.Now(), make(chan error, 1)
	go func() {
		for i := range n {
			b := binary.BigEndian.AppendUint32(nil, uint32(i))
			b = binary.BigEndian.AppendUint64(b, uint64(time.Since(began)))
			if _, err := w.from.WriteTo(b, w.addr); err != nil {
				done <- err
				return
			}
			if pause > 0 {
				time.Sleep(pause)
			}
		}
		done <- w.to.SetReadDeadline(time.Now().Add(wait))
	}()
	var got []arrival
	for b := make([]byte, 64); ; {
		k, _, err := w.to.ReadFrom(b)
		now := time.Since(began)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil || k != 12 {
			t.Fatalf("%d bytes: %v", k, err)
		}
		got = append(got, arrival{int(binary.BigEndian.Uint32(b)), now - time.Duration(binary.BigEndian.Uint64(b[4:]))})
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return got
}

// TestLinks measures what the links of a real lab do to datagrams, each link with the others
// beside it perfect.
func TestLinks(t *testing.T) {
	l := lab(t, "a", "b", "c")
	ab, ba := newWire(t, l.Host("a"), l.Host("b")), newWire(t, l.Host("b"), l.Host("a"))
	set := func(k Link) { l.Change(func(n *Net) { n.Heal(); *n.Link("a", "b") = k }) }

	t.Run("perfect", func(t *testing.T) {
		if got := ab.send(t, 200, 0, 500*ms); len(got) != 200 {
			t.Errorf("%d of 200 arrived", len(got))
		}
	})
	t.Run("delay", func(t *testing.T) {
		set(Link{Delay: 50 * ms, Jitter: 20 * ms})
		last := -1
		for _, a := range ab.send(t, 20, 5*ms, 500*ms) {
			if a.took < 50*ms || a.took > 200*ms {
				t.Errorf("datagram %d took %s, want 50 to 70 ms", a.number, a.took)
			}
			if a.number != last+1 {
				t.Errorf("datagram %d came after %d", a.number, last)
			}
			last = a.number
		}
		if last != 19 {
			t.Errorf("the last one that came is %d", last)
		}
		if got := ba.send(t, 1, 0, 200*ms); len(got) != 1 || got[0].took > 40*ms {
			t.Errorf("the way back: %v", got)
		}
	})
	t.Run("loss", func(t *testing.T) {
		set(Link{Loss: 0.3})
		if got := len(ab.send(t, 1000, ms/10, 200*ms)); got < 600 || got > 800 {
			t.Errorf("%d of 1000 arrived, want about 700", got)
		}
		if got := len(ba.send(t, 100, 0, 200*ms)); got != 100 {
			t.Errorf("%d of 100 arrived on the way back", got)
		}
	})
	t.Run("duplicates", func(t *testing.T) {
		set(Link{Duplicate: 0.5})
		if got := len(ab.send(t, 400, ms/10, 200*ms)); got < 520 || got > 680 {
			t.Errorf("%d arrived of 400, want about 600", got)
		}
	})
	t.Run("reordering", func(t *testing.T) {
		set(Link{Delay: 20 * ms, Reorder: 0.3})
		late, highest := 0, -1
		got := ab.send(t, 200, ms, 300*ms)
		for _, a := range got {
			if a.number < highest {
				late++
			}
			highest = max(highest, a.number)
		}
		if len(got) != 200 || late < 20 {
			t.Errorf("%d of 200 arrived, %d were overtaken", len(got), late)
		}
	})
	t.Run("rate", func(t *testing.T) {
		set(Link{Rate: 54 * 8 * 200}) // 200 of these frames a second
		got := ab.send(t, 60, 0, 800*ms)
		if len(got) != 60 || got[59].took < 200*ms || got[59].took > 600*ms {
			t.Errorf("%d of 60 arrived, the last after %s, want about 300 ms", len(got), got[len(got)-1].took)
		}
	})
	t.Run("cut one way, and healed", func(t *testing.T) {
		set(Link{Cut: true})
		if got := ab.send(t, 20, 0, 100*ms); len(got) != 0 {
			t.Errorf("%d arrived through a cut", len(got))
		}
		if got := ba.send(t, 20, 0, 100*ms); len(got) != 20 {
			t.Errorf("%d of 20 arrived on the way back", len(got))
		}
		ac := newWire(t, l.Host("a"), l.Host("c"))
		if got := ac.send(t, 20, 0, 100*ms); len(got) != 20 {
			t.Errorf("%d of 20 arrived beside the cut", len(got))
		}
		l.Heal()
		if got := ab.send(t, 20, 0, 100*ms); len(got) != 20 {
			t.Errorf("%d of 20 arrived when it was healed", len(got))
		}
	})
	t.Run("a cut drops what is under way", func(t *testing.T) {
		set(Link{Delay: 100 * ms})
		go func() {
			time.Sleep(50 * ms)
			set(Link{Cut: true})
		}()
		if got := ab.send(t, 1, 0, 300*ms); len(got) != 0 {
			t.Errorf("it arrived: %v", got)
		}
	})
}

// TestStream: TCP from a process on one host to a socket on another, through a bad network.
func TestStream(t *testing.T) {
	l := lab(t, "a", "b")
	bad := Link{Delay: ms, Jitter: 2 * ms, Loss: 0.02, Duplicate: 0.02, Reorder: 0.1}
	l.Change(func(n *Net) { *n.Link("a", "b"), *n.Link("b", "a") = bad, bad })
	var listener net.Listener
	err := l.Host("b").Run(func() (err error) {
		listener, err = net.Listen("tcp4", l.Host("b").Addr.String()+":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	text := strings.Repeat("what goes in must come out\n", 4000)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.Close()
	}()
	conn, err := l.Host("a").DialContext(t.Context(), "tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	got := new(strings.Builder)
	if _, err := copyAll(got, conn); err != nil || got.String() != text {
		t.Errorf("%v, %d of %d bytes came", err, got.Len(), len(text))
	}
	if c := l.Counts(); c.Lost == 0 || c.Doubled == 0 || c.Delivered == 0 {
		t.Errorf("the switch counts %+v", c)
	}
}

func copyAll(w *strings.Builder, conn net.Conn) (int, error) {
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	for b := make([]byte, 4096); ; {
		n, err := conn.Read(b)
		w.Write(b[:n])
		if err != nil {
			if err.Error() == "EOF" {
				err = nil
			}
			return w.Len(), err
		}
	}
}

// TestClose: a closed lab leaves no namespace, no process and no goroutine; and what a run
// that died left is removed by the next one.
func TestClose(t *testing.T) {
	if err := Available(); err != nil {
		t.Skipf("no network can be built here: %v", err)
	}
	ignore := goleak.IgnoreCurrent()
	l, err := Open(t.Context(), 1, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := l.Host("a").Start(cmd); err != nil {
		t.Fatal(err)
	}
	tag := l.claim.Tag
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process on the host ended with %v", err)
	}
	gone(t, tag)
	goleak.VerifyNone(t, ignore)

	// As a run leaves it that was killed: a namespace under a number that nobody holds.
	left := tag + "-left"
	if err := ip(t.Context(), nil, "netns", "add", left); err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("ip", "netns", "exec", left, "sleep", "1000")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	awaitInside(t, left)
	lab(t, "a")
	if err := sleeper.Wait(); err == nil {
		t.Error("the process that was left behind still ran")
	}
	if _, err := os.Stat(netnsDir + "/" + left); err == nil {
		t.Errorf("%s is still there", left)
	}
}

// awaitInside waits until a process has entered a namespace.
func awaitInside(t *testing.T, netns string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		out, err := exec.CommandContext(ctx, "ip", "netns", "pids", netns).Output()
		if err != nil {
			t.Fatal(err)
		}
		if len(out) > 0 {
			return
		}
	}
}

func gone(t *testing.T, tag string) {
	t.Helper()
	entries, err := os.ReadDir(netnsDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tag) {
			t.Errorf("%s is still there", e.Name())
		}
	}
}
