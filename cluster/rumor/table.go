package rumor

import (
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
)

// Bounds of a table.
const (
	// MaxSightings bounds the cells of one digest.
	MaxSightings = 1 << 16
	// forgetAfter is when a cell without session that was not heard leaves the table.
	forgetAfter = 10 * time.Minute
	// staleAfter is for how long a scheduler that is silent, but not known to be dead, is
	// believed to hold the sessions that it told of.
	staleAfter = 10 * time.Second
	// maxDirty bounds the cells that wait to be broadcast; the table carries the others.
	maxDirty = 1024
	// transmits is how often a transition is put into a packet; a tick sends one packet to
	// every other scheduler, so that this is two or three ticks.
	transmits = 8
	// StampLife is how old a heartbeat may be to stamp a grant: the cell refuses what is older
	// than the delivery bound when it arrives, and the way there takes time too.
	StampLife = api.DeliveryBound - 2*time.Second
)

// Never is the age of what was never seen.
const Never = time.Duration(math.MaxInt64)

// seen is what one scheduler saw of one cell in one epoch. Times are this node's clock.
type seen struct {
	epoch uint64
	// begun is when the scheduler first had to do with the cell in this epoch.
	begun time.Time
	// heard says that there was a heartbeat: seq, stamp and stuck are of the newest one, last
	// is when it came, from is when the unbroken series began that it belongs to.
	heard      bool
	seq        uint64
	stamp      api.Stamp
	stuck      string
	last, from time.Time
	// sessions counts the live sessions; lostAt is when the last one ended, zero never.
	sessions int
	lostAt   time.Time
	number   uint64 // of the digest that said so; of a peer only
}

// peerTable is what another scheduler told.
type peerTable struct {
	cells map[api.CellID]seen
	full  uint64    // number of its newest whole table
	told  time.Time // when its newest digest came
	lost  bool      // memberlist says that it is dead
}

// Table holds the sightings of this scheduler and of the others. It is safe for concurrent
// use and never blocks on anything but its own lock.
type Table struct {
	node api.NodeID
	now  func() time.Time

	mu     sync.Mutex
	digest uint64                    // guarded by mu: number of the newest digest made here
	limit  time.Duration             // guarded by mu: the heartbeat limit that was last told
	mine   map[api.CellID]seen       // guarded by mu
	peers  map[api.NodeID]*peerTable // guarded by mu
	dirty  map[api.CellID]int        // guarded by mu: transitions, and how often to send each
	heard  chan struct{}             // guarded by mu: closed at the next news; nil while nobody waits
}

// numberShift leaves room for the digests of a millisecond in their numbers.
const numberShift = 20

// NewTable returns an empty table of the scheduler node. Its digests are numbered from the
// clock, so that a restarted scheduler's numbers are above those of its former life.
func NewTable(node api.NodeID, now func() time.Time) *Table {
	return &Table{
		node: node, now: now, digest: uint64(max(now().UnixMilli(), 0)) << numberShift,
		mine: map[api.CellID]seen{}, peers: map[api.NodeID]*peerTable{}, dirty: map[api.CellID]int{},
	}
}

// Heartbeat notes a heartbeat that this scheduler got from a cell in epoch. limit is the gap
// after which heartbeats are no longer steady. One of an older epoch, and one that is not
// newer than the last, say nothing new and are ignored.
func (t *Table) Heartbeat(cell api.CellID, epoch uint64, hb api.Heartbeat, limit time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.entry(cell, epoch)
	if !ok || s.heard && hb.Seq <= s.seq {
		return
	}
	now := t.now()
	if !s.heard || s.stuck != hb.Stuck {
		t.markDirty(cell)
	}
	if !s.heard || now.Sub(s.last) > limit {
		s.from = t.seriesBegan(cell, epoch, now, limit)
	}
	if !s.stamps(now) {
		t.wakeLocked()
	}
	t.limit = limit
	s.heard, s.seq, s.stamp, s.stuck, s.last = true, hb.Seq, hb.Stamp, hb.Stuck, now
	t.mine[cell] = s
}

// Heard returns a channel that is closed when a cell is heard that a scheduler had not heard,
// or not for StampLife: of one whose heartbeats go on it says nothing. Whoever waits takes it
// before he looks, so that no heartbeat falls between.
func (t *Table) Heard() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.heard == nil {
		t.heard = make(chan struct{})
	}
	return t.heard
}

func (t *Table) wakeLocked() {
	if t.heard != nil {
		close(t.heard)
		t.heard = nil
	}
}

// stamps reports whether a grant can carry the stamp of this sighting.
func (s seen) stamps(now time.Time) bool {
	return s.heard && s.stamp.BootID != "" && now.Sub(s.last) < StampLife
}

// seriesBegan returns when the series began that a heartbeat at now continues: a cell that
// moves its session to this scheduler goes on being steady.
func (t *Table) seriesBegan(cell api.CellID, epoch uint64, now time.Time, limit time.Duration) time.Time {
	from := now
	for _, p := range t.peers {
		s, ok := p.cells[cell]
		if ok && s.epoch == epoch && s.heard && now.Sub(s.last) <= limit && s.from.Before(from) {
			from = s.from
		}
	}
	return from
}

// SessionOpened notes that this scheduler holds one more session of the cell.
func (t *Table) SessionOpened(cell api.CellID, epoch uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.entry(cell, epoch)
	if !ok {
		return
	}
	s.sessions++
	t.mine[cell] = s
	t.markDirty(cell)
}

// SessionClosed notes the end of a session that SessionOpened noted. One of an older epoch
// changes nothing.
func (t *Table) SessionClosed(cell api.CellID, epoch uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.mine[cell]
	if !ok || s.epoch != epoch || s.sessions == 0 {
		return
	}
	s.sessions--
	if s.sessions == 0 {
		s.lostAt = t.now()
		t.markDirty(cell)
	}
	t.mine[cell] = s
}

// entry returns this scheduler's sighting of the cell in epoch; a newer epoch begins anew.
// ok is false for an older one.
func (t *Table) entry(cell api.CellID, epoch uint64) (s seen, ok bool) {
	s, held := t.mine[cell]
	switch {
	case held && epoch < s.epoch:
		return seen{}, false
	case held && epoch == s.epoch:
		return s, true
	}
	return seen{epoch: epoch, begun: t.now()}, true
}

func (t *Table) markDirty(cell api.CellID) {
	if _, ok := t.dirty[cell]; ok || len(t.dirty) < maxDirty {
		t.dirty[cell] = transmits
	}
}

// Local returns everything that this scheduler saw itself, as a digest with a new number, by
// cell id. Cells that were not heard for long and have no session leave the table.
func (t *Table) Local() api.SightingTable {
	table := t.local()
	slices.SortFunc(table.Sightings, func(a, b api.Sighting) int { return strings.Compare(string(a.CellID), string(b.CellID)) })
	return table
}

// Whole returns a message with everything that this scheduler saw itself.
func (t *Table) Whole() []byte { return encode(msgWhole, t.local()) }

// Node is whose table it is.
func (t *Table) Node() api.NodeID { return t.node }

func (t *Table) local() api.SightingTable {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.digest++
	table := api.SightingTable{Node: t.node, Digest: t.digest, Sightings: make([]api.Sighting, 0, len(t.mine))}
	for cell, s := range t.mine {
		if s.forgotten(now) {
			delete(t.mine, cell)
			delete(t.dirty, cell)
			continue
		}
		if len(table.Sightings) < MaxSightings {
			table.Sightings = append(table.Sightings, s.tell(cell, now))
		}
	}
	return table
}

func (s seen) forgotten(now time.Time) bool {
	return s.sessions == 0 && now.Sub(s.begun) > forgetAfter &&
		(!s.heard || now.Sub(s.last) > forgetAfter) && (s.lostAt.IsZero() || now.Sub(s.lostAt) > forgetAfter)
}

// tell turns times into ages. The age of a session that never was is -1.
func (s seen) tell(cell api.CellID, now time.Time) api.Sighting {
	out := api.Sighting{
		CellID: cell, Epoch: s.epoch, Seq: s.seq, Stamp: s.stamp, Stuck: s.stuck, Session: s.sessions > 0,
		AgeMs: now.Sub(s.begun).Milliseconds(),
	}
	if s.heard {
		out.AgeMs, out.SteadyMs = now.Sub(s.last).Milliseconds(), s.last.Sub(s.from).Milliseconds()
	}
	switch {
	case out.Session:
	case s.lostAt.IsZero():
		out.SessionAgeMs = -1
	default:
		out.SessionAgeMs = now.Sub(s.lostAt).Milliseconds()
	}
	return out
}

// Forget drops what a scheduler told, its numbers too: it is for one that was removed.
func (t *Table) Forget(node api.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.peers, node)
}

// Lost says that a scheduler is dead: it holds no session any more. What it heard before
// stays, and so does the number that its next digest must exceed.
func (t *Table) Lost(node api.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.peers[node]; ok {
		p.lost = true
	}
}

// Joined says that a scheduler that was dead or unknown lives. It may have been restarted
// with a clock that was set back, so its numbers may begin anywhere.
func (t *Table) Joined(node api.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.peers[node]
	if !ok {
		return
	}
	p.full = 0
	for cell, s := range p.cells {
		s.number = 0
		p.cells[cell] = s
	}
}
