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

	mu     sync.Mutex
	procs  map[string]*proc  // guarded by mu: the living, by name
	ills   []*ill            // guarded by mu: what is wrong with it, oldest first
	cuts   map[[2]string]int // guarded by mu: how many of ills cut the way from, to
	sky    weather           // guarded by mu: the worst of every weather of ills
	healed chan struct{}     // guarded by mu: closed at the next change of ills
	lives  int               // guarded by mu
}

// ill is one thing that is wrong with the network: ways that are cut, or a weather.
type ill struct {
	cuts [][2]string
	sky  weather
}

func newNetwork(d *dice) *network {
	return &network{dice: d, procs: map[string]*proc{}, cuts: map[[2]string]int{}, sky: fair(), healed: make(chan struct{})}
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
	p.dice, p.still.dead, p.went = n.dice, p.dead, time.Now()
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

// cut stops the messages from one process to another, until mend is called.
func (n *network) cut(from, to string) (mend func()) {
	return n.befall(&ill{cuts: [][2]string{{from, to}}})
}

// isolate cuts a process off from all others, both ways, until mend is called.
func (n *network) isolate(name string, others []string) (mend func()) {
	var i ill
	for _, o := range others {
		if o != name {
			i.cuts = append(i.cuts, [2]string{name, o}, [2]string{o, name})
		}
	}
	return n.befall(&i)
}

// storm makes the weather w, until mend is called.
func (n *network) storm(w weather) (mend func()) { return n.befall(&ill{sky: w}) }

// befall adds what is wrong; several such things add up, and each has its own end.
func (n *network) befall(i *ill) (mend func()) {
	n.change(func() { n.ills = append(n.ills, i) })
	return func() {
		n.change(func() { n.ills = slices.DeleteFunc(n.ills, func(o *ill) bool { return o == i }) })
	}
}

// heal mends everything.
func (n *network) heal() { n.change(func() { n.ills = nil }) }

func (n *network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	clear(n.cuts)
	n.sky = fair()
	for _, i := range n.ills {
		for _, way := range i.cuts {
			n.cuts[way]++
		}
		n.sky = n.sky.worse(i.sky)
	}
	close(n.healed)
	n.healed = make(chan struct{})
}

// worse is the worse of two weathers, in everything.
func (w weather) worse(o weather) weather {
	return weather{low: max(w.low, o.low), high: max(w.high, o.high), loss: max(w.loss, o.loss), dup: max(w.dup, o.dup)}
}

// way is what one message meets: a weather, or that it is held up until changed is closed.
func (n *network) way(from, to string) (cut bool, changed <-chan struct{}, sky weather) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts[[2]string{from, to}] > 0, n.healed, n.sky
}

// resend is after how long a stream sends again what was lost.
const resend = 200 * time.Millisecond

// travel takes as long as a message from one process to another; false when ctx ended first.
func (n *network) travel(ctx context.Context, from, to string) bool {
	for {
		cut, changed, sky := n.way(from, to)
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
func call[T any](ctx context.Context, n *network, from *proc, to string, work func(context.Context, *proc) (T, error)) (T, error) {
	var none T
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
	there, hangUp := context.WithCancel(callee.ctx)
	defer hangUp() // the callee sees its caller go
	n.wg.Go(func() {
		if !callee.awake() { // it is read when the callee goes on
			return
		}
		v, err := work(there, callee)
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
	return n.cuts[[2]string{a, b}]+n.cuts[[2]string{b, a}] > 0
}
