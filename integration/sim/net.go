package sim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// proc is one life of a process: a scheduler, an agent or a client, from its start to its
// death.
type proc struct {
	name string
	id   string          // of this life
	ctx  context.Context //nolint:containedctx // it is the life
	dead <-chan struct{}
	end  context.CancelFunc
	still
}

// weather is how the network between two processes behaves, one way.
type weather struct {
	low, high time.Duration // of the delay
	loss      float64       // of a message: what a stream carries is sent again later
	dup       float64       // of a request of Raft: it arrives twice
}

// fair is the network of a data centre.
func fair() weather { return weather{low: 100 * time.Microsecond, high: time.Millisecond} }

// network joins the processes. Cuts are of directed pairs: a cut message waits, as in a
// stream that nobody acknowledges, until its caller gives up or the cut is healed.
type network struct {
	dice *dice
	wg   sync.WaitGroup // every message and every call under way

	mu      sync.Mutex
	procs   map[string]*proc   // guarded by mu: the living, by name
	cuts    map[[2]string]bool // guarded by mu: from, to
	sky     weather            // guarded by mu
	healed  chan struct{}      // guarded by mu: closed at the next change of cuts
	lives   int                // guarded by mu
	carried uint64             // guarded by mu: messages
}

func newNetwork(d *dice) *network {
	return &network{dice: d, procs: map[string]*proc{}, cuts: map[[2]string]bool{}, sky: fair(), healed: make(chan struct{})}
}

// The faults that a caller sees.
var (
	errRefused = errors.New("connection refused")
	errReset   = errors.New("connection reset by peer")
	errSilent  = errors.New("no answer in time")
)

// born starts a life under name.
func (n *network) born(name string) *proc {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lives++
	ctx, cancel := context.WithCancel(context.Background())
	p := &proc{name: name, id: name + "#" + itoa(n.lives), ctx: ctx, dead: ctx.Done(), end: cancel}
	p.dice, p.still.dead = n.dice, p.dead
	n.procs[name] = p
	return p
}

// die ends a life: what is on its way to it is lost, what it sent is still on its way.
func (n *network) die(p *proc) {
	n.mu.Lock()
	if n.procs[p.name] == p {
		delete(n.procs, p.name)
	}
	n.mu.Unlock()
	p.end()
}

func (n *network) proc(name string) *proc {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.procs[name]
}

// cut stops the messages from one process to another.
func (n *network) cut(from, to string) { n.change(func() { n.cuts[[2]string{from, to}] = true }) }

// isolate cuts a process off from all others, both ways.
func (n *network) isolate(name string, others []string) {
	n.change(func() {
		for _, o := range others {
			if o != name {
				n.cuts[[2]string{name, o}], n.cuts[[2]string{o, name}] = true, true
			}
		}
	})
}

// heal mends every cut and brings back fair weather.
func (n *network) heal() {
	n.change(func() {
		clear(n.cuts)
		n.sky = fair()
	})
}

// storm makes the weather w.
func (n *network) storm(w weather) { n.change(func() { n.sky = w }) }

func (n *network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.healed)
	n.healed = make(chan struct{})
}

// way is what one message meets: the time that it takes, or that it is held up until changed
// is closed.
func (n *network) way(from, to string) (d time.Duration, cut bool, changed <-chan struct{}, sky weather) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.carried++
	return 0, n.cuts[[2]string{from, to}], n.healed, n.sky
}

// resend is after how long a stream sends again what was lost.
const resend = 200 * time.Millisecond

// travel takes as long as a message from one process to another; false when ctx ended first.
func (n *network) travel(ctx context.Context, from, to string) bool {
	for {
		_, cut, changed, sky := n.way(from, to)
		if !cut {
			d := n.dice.between(sky.low, sky.high)
			for n.dice.chance(sky.loss) {
				d += resend
			}
			return pass(ctx, d)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// twice reports whether a request arrives a second time.
func (n *network) twice() bool {
	n.mu.Lock()
	p := n.sky.dup
	n.mu.Unlock()
	return n.dice.chance(p)
}

// pass lets d go by; false when ctx ended first.
func pass(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// call carries a request from one process to another, has it done there, and carries the
// answer back. The work goes on at the callee when the caller has given up, as it does in a
// real one that has read the request already. An error of call itself is errRefused when the
// request surely did not arrive, else its fate is unknown.
func call[T any](caller context.Context, n *network, from *proc, to string, work func(context.Context, *proc) (T, error)) (T, error) {
	var none T
	ctx := caller
	if !from.awake() {
		return none, errReset // the dead say nothing
	}
	if !n.travel(ctx, from.name, to) {
		return none, errors.Join(errSilent, ctx.Err())
	}
	callee := n.proc(to)
	if callee == nil {
		if !n.travel(ctx, to, from.name) {
			return none, errors.Join(errSilent, ctx.Err())
		}
		return none, errRefused
	}
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	n.wg.Go(func() {
		ctx, cancel := context.WithCancel(callee.ctx)
		defer cancel()
		hangUp := context.AfterFunc(caller, cancel) // the callee sees its caller go
		defer hangUp()
		stop := context.AfterFunc(from.ctx, cancel)
		defer stop()
		if !callee.awake() { // it is read when the callee goes on
			return
		}
		v, err := work(ctx, callee)
		if !callee.awake() { // nobody is there to send it
			return
		}
		if n.travel(callee.ctx, to, from.name) {
			done <- answer{v, err}
		}
	})
	select {
	case a := <-done:
		if !from.awake() { // it is read when the caller goes on, however old it is then
			return none, context.Canceled
		}
		return a.v, a.err
	case <-callee.dead:
		n.travel(ctx, to, from.name)
		return none, errReset
	case <-from.dead:
		return none, context.Canceled
	case <-ctx.Done():
		return none, errors.Join(errSilent, ctx.Err())
	}
}

// names lists the living, in order.
func (n *network) names() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]string, 0, len(n.procs))
	for name := range n.procs {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// severed reports whether two processes cannot talk, one way or the other.
func (n *network) severed(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts[[2]string{a, b}] || n.cuts[[2]string{b, a}]
}
