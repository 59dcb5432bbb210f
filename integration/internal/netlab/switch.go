package netlab

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxFrame bounds a frame: an Ethernet header and the largest packet of the interfaces.
const (
	headerLen = 14
	mtu       = 1500
	maxFrame  = headerLen + mtu + 4
)

// Counts is what the switch did with the frames so far.
type Counts struct {
	Delivered, Lost, Doubled uint64
}

// network is the switch: a reader for each port, and one courier for what takes its time.
type network struct {
	ports []*os.File
	net   atomic.Pointer[Net]
	began time.Time

	courier   *courier
	delivered atomic.Uint64
	lost      atomic.Uint64
	doubled   atomic.Uint64

	stop context.CancelFunc
	wg   sync.WaitGroup
}

func newNetwork(ports []*os.File, net *Net, seed uint64) *network {
	ctx, stop := context.WithCancel(context.Background())
	w := &network{ports: ports, began: time.Now(), stop: stop}
	w.net.Store(net)
	w.courier = newCourier(w.now, w.deliver)
	w.wg.Go(func() { w.courier.run(ctx) })
	for i := range ports {
		w.wg.Go(func() { w.read(i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	return w
}

// close ends the readers by closing what they read from, and waits.
func (w *network) close() {
	w.stop()
	for _, p := range w.ports {
		_ = p.Close() // nothing is lost that a network would keep
	}
	w.wg.Wait()
}

func (w *network) now() time.Duration { return time.Since(w.began) }

// read takes what a host sends until its port is closed.
func (w *network) read(from int, rng *rand.Rand) {
	lanes := make([]lane, len(w.ports))
	buf := make([]byte, maxFrame)
	for {
		n, err := w.ports[from].Read(buf)
		if err != nil {
			return
		}
		to := portOf(buf[:n])
		if to < 0 || to >= len(w.ports) || to == from {
			continue // broadcasts: nobody needs any
		}
		w.forward(&lanes[to], from, to, buf[:n], rng.Float64)
	}
}

// forward sends a frame on its way. The buffer is the caller's again when it returns.
func (w *network) forward(l *lane, from, to int, frame []byte, chance func() float64) {
	now := w.now()
	plan := l.plan(w.net.Load().at(from, to), now, len(frame), chance)
	switch plan.n {
	case 0:
		w.lost.Add(1)
	case 2:
		w.doubled.Add(1)
	}
	for _, at := range plan.at[:plan.n] {
		if at <= now {
			w.deliver(from, to, frame)
			continue
		}
		if !w.courier.take(parcel{at: at, from: from, to: to, frame: append([]byte(nil), frame...)}) {
			w.lost.Add(1)
		}
	}
}

// deliver hands a frame to its receiver, unless the way was cut meanwhile.
func (w *network) deliver(from, to int, frame []byte) {
	if w.net.Load().at(from, to).Cut {
		w.lost.Add(1)
		return
	}
	if _, err := w.ports[to].Write(frame); err != nil {
		w.lost.Add(1) // its queue is full, or the lab closes
		return
	}
	w.delivered.Add(1)
}

// macOf is the hardware address of a port: a local one, with the port's number at its end.
func macOf(port int) [6]byte {
	mac := [6]byte{0x02, 'g', 'f', 0, 0, 0}
	binary.BigEndian.PutUint16(mac[4:], uint16(port))
	return mac
}

// portOf returns the port that a frame is for, -1 for a frame that is for none.
func portOf(frame []byte) int {
	if len(frame) < headerLen || frame[0] != 0x02 || frame[1] != 'g' || frame[2] != 'f' || frame[3] != 0 {
		return -1
	}
	return int(binary.BigEndian.Uint16(frame[4:6]))
}
