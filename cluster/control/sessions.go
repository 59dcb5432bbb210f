package control

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// sessions are the watch streams that this node holds, by cell.
type sessions struct {
	mu   sync.Mutex
	open map[api.CellID]*session
}

type session struct {
	// waiting are the questions that wait; sessions.mu guards them. A slice, and not the buffer of a
	// channel: thousands of cells are never asked anything.
	waiting []api.Ask
	asked   chan struct{} // has room for one
	// replaced is closed when the cell opened a newer session here.
	replaced chan struct{}
}

// maxAsks bounds the questions that wait for one cell.
const maxAsks = 256

func newSessions() *sessions { return &sessions{open: map[api.CellID]*session{}} }

func (s *sessions) add(cell api.CellID) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.open[cell]; ok {
		close(old.replaced)
	}
	n := &session{asked: make(chan struct{}, 1), replaced: make(chan struct{})}
	s.open[cell] = n
	return n
}

// remove ends a session; a newer one of the cell stays.
func (s *sessions) remove(cell api.CellID, n *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[cell] == n {
		delete(s.open, cell)
	}
}

func (s *sessions) ask(cell api.CellID, a api.Ask) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.open[cell]
	if !ok || len(n.waiting) == maxAsks {
		return false
	}
	n.waiting = append(n.waiting, a)
	select {
	case n.asked <- struct{}{}:
	default: // it was told, and has not looked yet
	}
	return true
}

// take returns the questions that wait for a session.
func (s *sessions) take(n *session) []api.Ask {
	s.mu.Lock()
	defer s.mu.Unlock()
	asks := n.waiting
	n.waiting = nil
	return asks
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

const (
	// outOfTouch is for how long a follower may not have heard its leader and still serve
	// sessions: an election fits into it, a partition does not.
	outOfTouch = 2 * time.Second
	touchCheck = 250 * time.Millisecond
	catchUp    = 5 * time.Second
)

// Watch serves a cell's session from this node's own state: the whole desired set first,
// then what changed. Nothing depends on the cell having seen every message.
func (c *Control) Watch(ctx context.Context, p api.ProviderID, cell api.CellID, r api.WatchRequest) iter.Seq2[api.Desired, error] {
	return func(yield func(api.Desired, error) bool) {
		if err := c.watch(ctx, p, cell, r, yield); err != nil && ctx.Err() == nil {
			yield(api.Desired{}, err)
		}
	}
}

func (c *Control) watch(ctx context.Context, p api.ProviderID, cell api.CellID, r api.WatchRequest, yield func(api.Desired, error) bool) error {
	if err := c.comeInTouch(ctx); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, catchUp)
	err := c.cfg.Machine.WaitIndex(wait, r.After)
	cancel()
	if err != nil {
		return api.Refuse(api.NoLeader, "scheduler %s is behind: it is at index %d, the cell has seen %d", c.cfg.Node, c.cfg.Machine.View().Index(), r.After)
	}
	if err := c.current(ctx, p, cell, r.Epoch); err != nil {
		return err
	}
	// All that may have to be waited for is behind: a turn is for what is computed and written.
	opened, err := c.openTurn(ctx)
	if err != nil {
		return err
	}
	defer opened()
	if err := c.inTouch(); err != nil {
		return err
	}
	here := c.lookout.join()
	defer here.leave()
	w := &watcher{c: c, here: here, provider: p, cell: cell, epoch: r.Epoch, noEcho: r.NoEcho, yield: func(d api.Desired, err error) bool {
		defer opened()
		return yield(d, err)
	}}
	if r.Standby {
		return w.standBy(ctx)
	}
	s := c.sessions.add(cell)
	defer c.sessions.remove(cell, s)
	// The table counts: one that was replaced is closed like any other.
	c.cfg.Sightings.SessionOpened(cell, r.Epoch)
	defer c.cfg.Sightings.SessionClosed(cell, r.Epoch)
	return w.serve(ctx, s)
}

// electionTime is for how long a session that is opened waits for this node to hear a leader: when one has ended, all
// of its cells come to the others before there is another.
const electionTime = time.Second

// comeInTouch is inTouch for a session that is being opened.
func (c *Control) comeInTouch(ctx context.Context) error {
	timer, tick := time.NewTimer(electionTime), time.NewTicker(touchCheck/5)
	defer timer.Stop()
	defer tick.Stop()
	for {
		err := c.inTouch()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C: // the leader of before may be heard again: nobody is told of that
		case <-timer.C:
			return c.inTouch()
		case <-ctx.Done():
			return err
		}
	}
}

// openingTime is for how long a session that is being opened keeps others from it: one whose cell does not
// read must not.
const openingTime = 50 * time.Millisecond

// openings is how many sessions are opened at a time: one for each processor.
func openings() int64 { return int64(runtime.GOMAXPROCS(0)) }

// openTurn waits for the turn of a session that is opened, until the function returned is called. When a
// scheduler ends, thousands are opened in the same moment as another leader is to be elected: those that wait
// here are in nobody's way.
func (c *Control) openTurn(ctx context.Context) (opened func(), err error) {
	if err := c.opening.Acquire(ctx, 1); err != nil {
		return nil, err //nolint:wrapcheck // it is why the caller's request ended
	}
	give := sync.OnceFunc(func() { c.opening.Release(1) })
	late := time.AfterFunc(openingTime, give)
	return func() {
		late.Stop()
		give()
	}, nil
}

// inTouch refuses when this node has not heard its leader for too long: what it would tell
// a cell could be old.
func (c *Control) inTouch() error {
	if silent := c.cfg.Cluster.Touch(); silent > outOfTouch {
		return api.Refuse(api.NoLeader, "scheduler %s has not heard a leader for %s", c.cfg.Node, age(silent)).
			WithHint("another scheduler may serve the session")
	}
	return nil
}

// outlook is what the sessions stand on beside the state.
func (c *Control) outlook() outlook {
	silent := c.cfg.Cluster.Touch()
	o := outlook{silent: silent, urls: c.schedulers()}
	o.heartbeat, o.limit = c.timers()
	return o
}

// watcher is one session being served.
type watcher struct {
	c        *Control
	provider api.ProviderID
	cell     api.CellID
	epoch    uint64
	noEcho   bool
	yield    func(api.Desired, error) bool
	sent     uint64 // the index up to which the cell has everything
	full     bool
	cluster  uint64   // the cluster epoch of what it was sent
	known    []string // the schedulers that it was told
	beat     int64    // and the heartbeat interval, ms
	here     stay
}

// endings is how many sessions a node ends in a second when it has not heard its leader: each of
// those cells goes to another scheduler, and a leader that is back soon keeps the rest.
const endings = 1000

// settle is the time that a cell has to be heard by another scheduler.
const settle = 2 * time.Second

// spreadOf is over how long so many sessions end. The last of their cells, too, is heard elsewhere before its
// heartbeat limit.
func spreadOf(sessions int, beat, limit time.Duration) time.Duration {
	return min(time.Duration(sessions)*(time.Second/endings), max(limit-beat-outOfTouch-settle, 0))
}

// endsAfter is for how long its leader may be silent before a session in that place ends.
func endsAfter(place float64, spread time.Duration) time.Duration {
	return outOfTouch + time.Duration(place*float64(spread))
}

// inTouch is Control.inTouch for a session that is open.
func (w *watcher) inTouch() error {
	beat, limit := w.c.timers()
	ends := endsAfter(w.here.place(), spreadOf(w.c.lookout.sessions(), beat, limit))
	if silent := w.c.cfg.Cluster.Touch(); silent <= ends {
		return nil
	}
	return w.c.inTouch()
}

// serve sends until the session ends; nil is an end that the cell caused.
func (w *watcher) serve(ctx context.Context, s *session) error {
	for {
		moved := w.here.changed()
		changed := w.c.cfg.Machine.Changed(fsm.CellTopic(w.cell))
		d, err := w.next()
		if err != nil {
			return err
		}
		if d != nil && !w.yield(*d, nil) {
			return nil
		}
		select {
		case <-changed:
		case <-s.asked:
			// Those that came meanwhile went with the ones before.
			if asks := w.c.sessions.take(s); len(asks) > 0 && !w.yield(api.Desired{Index: w.sent, Asks: asks}, nil) {
				return nil
			}
		case <-moved:
			if err := w.inTouch(); err != nil {
				return err
			}
		case <-s.replaced:
			return api.Refuse(api.Conflict, "cell %s opened a newer session", w.cell)
		case <-ctx.Done():
			return nil
		}
	}
}

// next is what the cell does not know yet; nil is nothing.
func (w *watcher) next() (*api.Desired, error) {
	v := w.c.cfg.Machine.View()
	rec, ok := v.Cell(w.cell)
	switch {
	case !ok:
		return nil, unregistered(w.cell)
	case rec.Revoked:
		return nil, revoked(rec)
	case rec.Epoch != w.epoch:
		return nil, api.Refuse(api.StaleEpoch, "cell %s is at epoch %d now, this session at %d", w.cell, rec.Epoch, w.epoch)
	}
	if w.cluster != v.ClusterEpoch() {
		// The state was replaced by an earlier one: what changed between the two is in no record.
		w.full, w.cluster = false, v.ClusterEpoch()
	}
	d := &api.Desired{Index: v.Index(), Full: !w.full, Epoch: v.Epoch(), ClusterEpoch: v.ClusterEpoch(), Fences: !w.full}
	if w.full {
		d.Leases = v.LeasesChangedIf(w.cell, w.sent, func(l fsm.LeaseGlance) bool {
			d.Fences = d.Fences || l.State == api.LeaseFenced
			return w.news(l)
		})
		d.Runs = v.RunsChangedOn(w.cell, w.sent)
	} else {
		d.Leases, d.Runs = v.LeasesOn(w.cell), v.RunsOn(w.cell)
	}
	if d.Fences {
		d.Fenced = v.FencedOn(w.cell)
	}
	if urls := w.c.schedulers(); !slices.Equal(urls, w.known) {
		w.known, d.Schedulers = urls, urls
	}
	if slices.ContainsFunc(d.Leases, func(l api.Lease) bool { return l.ForceAt > 0 }) {
		d.Now = v.Now()
	}
	if heartbeat, limit := w.c.timers(); heartbeat.Milliseconds() != w.beat {
		w.beat = heartbeat.Milliseconds()
		d.HeartbeatMs, d.LimitMs = w.beat, limit.Milliseconds()
	}
	news := d.Full || d.Fences || d.HeartbeatMs > 0 || len(d.Leases) > 0 || len(d.Runs) > 0 || d.Schedulers != nil
	w.full, w.sent = true, v.Index()
	if !news {
		return nil, nil //nolint:nilnil // nothing to send is not an error
	}
	return d, nil
}

// news leaves out the leases of which the newest news is the cell's own: one that is active
// and bound in its newest generation is what the cell has, for the agent that said so has it
// still, and the next one begins with the whole set. So is the end that only a cell can report.
func (w *watcher) news(l fsm.LeaseGlance) bool {
	own := l.State == api.LeaseActive && l.Bound == l.Generation ||
		w.noEcho && (l.State == api.LeaseTornDown || l.Fenced)
	return !own
}

// standBy keeps the warm second session: it says which schedulers live, and ends when this
// node could not serve it.
func (w *watcher) standBy(ctx context.Context) error {
	if !w.yield(api.Desired{Schedulers: w.c.schedulers()}, nil) {
		return nil
	}
	for {
		moved, changed := w.here.changed(), w.c.cfg.Machine.Changed(fsm.CellTopic(w.cell))
		if err := w.inTouch(); err != nil {
			return err
		}
		if rec, ok := w.c.cfg.Machine.View().Cell(w.cell); ok && rec.Revoked {
			return revoked(rec)
		}
		select {
		case <-moved:
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
