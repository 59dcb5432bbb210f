package control

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

const (
	// askCellTime bounds the question whether another scheduler holds a session.
	askCellTime = time.Second
	// reunionTime is for how long a cell that no scheduler holds a session of is waited for: when its scheduler
	// ends, another one leads, and is asked again what was under way, before the cell has its session there.
	reunionTime = 2 * time.Second
	// reunionFirst and reunionMost are the first and the longest pause between two looks for it.
	reunionFirst, reunionMost = 10 * time.Millisecond, 200 * time.Millisecond
)

// reunions are the cells that are waited for. One of those who have a question looks whether a cell is there
// again, the others wait for what it finds: thousands may have one.
type reunions struct {
	mu      sync.Mutex
	waiting map[api.CellID]chan struct{} // guarded by mu; closed when the look is over
}

func newReunions() *reunions { return &reunions{waiting: map[api.CellID]chan struct{}{}} }

// join returns what is closed when the look for a cell is over, and end where it is the caller's to look.
func (r *reunions) join(cell api.CellID) (over <-chan struct{}, end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if looking, ok := r.waiting[cell]; ok {
		return looking, nil
	}
	mine := make(chan struct{})
	r.waiting[cell] = mine
	return mine, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waiting, cell)
		close(mine)
	}
}

// askCell hands a question to whichever scheduler holds the cell's session, and waits for a cell that is
// between two of them.
func (c *Control) askCell(ctx context.Context, cell api.CellID, ask api.Ask) error {
	until := c.cfg.Clock.Now().Add(reunionTime)
	err := c.askOnce(ctx, cell, ask)
	for err != nil && ctx.Err() == nil && c.expected(cell) && c.cfg.Clock.Now().Before(until) {
		over, end := c.reunions.join(cell)
		if end != nil {
			err = c.look(ctx, cell, ask, until)
			end()
			continue
		}
		select {
		case <-over: // who looked may also have gone away: then it is another's turn
			err = c.askOnce(ctx, cell, ask)
		case <-ctx.Done():
		}
	}
	return err
}

// look asks a cell again and again, until a scheduler takes the question or the time is up.
func (c *Control) look(ctx context.Context, cell api.CellID, ask api.Ask, until time.Time) (err error) {
	for wait := reunionFirst; ; wait = min(2*wait, reunionMost) {
		lasted := clock.Sleep(ctx, wait)
		if err = c.askOnce(ctx, cell, ask); err == nil || !lasted || !c.cfg.Clock.Now().Before(until) {
			return err
		}
	}
}

// expected reports whether a cell may be on its way to another scheduler: one that is known to be gone is not.
func (c *Control) expected(cell api.CellID) bool {
	rec, ok := c.cfg.Machine.View().Cell(cell)
	return ok && !rec.Revoked && rec.Healthy.Met
}

// askOnce asks the scheduler first that the sightings name, since a session that was left behind may still be
// open here, and then all others.
func (c *Control) askOnce(ctx context.Context, cell api.CellID, ask api.Ask) error {
	holder := c.cfg.Node
	if rec, ok := c.cfg.Machine.View().Cell(cell); ok {
		if sight, seen := c.cfg.Sightings.Best(cell, rec.Epoch); seen && sight.Session {
			holder = sight.Holder
		}
	}
	nodes := slices.DeleteFunc(c.cfg.Cluster.Others(), func(n api.NodeID) bool { return n == holder })
	if holder != c.cfg.Node {
		nodes = append([]api.NodeID{c.cfg.Node}, nodes...)
	}
	for _, n := range append([]api.NodeID{holder}, nodes...) {
		if c.askAt(ctx, n, cell, ask) {
			return nil
		}
	}
	return unasked{api.Refuse(api.OutcomeUnknown, "no scheduler holds a session of cell %s: it cannot be asked for a token now", cell).
		WithHint("the lease holds; ask again when the cell is connected: grafos fabric cells")}
}

// unasked is why a cell was not asked: it is no answer of the cell's.
type unasked struct{ error }

func (e unasked) Unwrap() error { return e.error }

// askAt reports whether a scheduler took the question.
func (c *Control) askAt(ctx context.Context, n api.NodeID, cell api.CellID, ask api.Ask) bool {
	if n == c.cfg.Node {
		return c.sessions.ask(cell, ask)
	}
	peer, err := c.cfg.Cluster.Peer(n)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askCellTime)
	defer cancel()
	return peer.AskCell(ctx, cell, ask) == nil
}
