package sim

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
)

const (
	// gossipEvery is between two packets, tableEvery between two exchanges of tables.
	gossipEvery = 250 * time.Millisecond
	tableEvery  = time.Second
	// deadAfter is for how long a member is silent that counts as dead: about what the real
	// gossip needs.
	deadAfter = 4 * time.Second
)

// gossip carries what the schedulers tell: every message names its sender with its meta, and
// a member that is silent for long is dead.
type gossip struct {
	w     *World
	self  *proc
	table *rumor.Table
	stop  context.CancelFunc
	wg    sync.WaitGroup
	asked chan struct{}

	mu      sync.Mutex
	meta    rumor.Meta                  // guarded by mu
	members map[api.NodeID]rumor.Member // guarded by mu
	heard   map[api.NodeID]time.Time    // guarded by mu
	changed chan struct{}               // guarded by mu
}

func newGossip(w *World, self *proc, table *rumor.Table, m rumor.Meta) *gossip {
	ctx, stop := context.WithCancel(self.ctx)
	g := &gossip{
		w: w, self: self, table: table, stop: stop, asked: make(chan struct{}), meta: m,
		members: map[api.NodeID]rumor.Member{}, heard: map[api.NodeID]time.Time{}, changed: make(chan struct{}),
	}
	g.members[m.Node] = rumor.Member{Meta: m, Addr: self.name, Alive: true}
	g.wg.Go(func() { g.run(ctx) })
	return g
}

func (g *gossip) run(ctx context.Context) {
	g.round(ctx, g.table.Whole())
	close(g.asked)
	lastTable := time.Now()
	for pass(ctx, gossipEvery) && g.self.awake() {
		msg := g.table.Packet(1400)
		if time.Since(lastTable) >= tableEvery {
			msg, lastTable = g.table.Whole(), time.Now()
		}
		g.round(ctx, msg)
		g.bury()
	}
}

// round sends msg to every other scheduler, whether it is known to live or not.
func (g *gossip) round(ctx context.Context, msg []byte) {
	g.mu.Lock()
	meta := g.meta
	g.mu.Unlock()
	for _, name := range g.w.schedulerNames() {
		if name == g.self.name {
			continue
		}
		g.w.net.wg.Go(func() {
			// A packet that does not arrive soon is lost, as one of UDP is.
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if !g.w.net.travel(ctx, g.self.name, name) {
				return
			}
			if to := g.w.gossipAt(name); to != nil {
				to.take(meta, g.self.name, msg)
			}
		})
	}
}

// take is a message that has arrived.
func (g *gossip) take(m rumor.Meta, addr string, msg []byte) {
	if !g.self.awake() {
		return
	}
	g.mu.Lock()
	next := rumor.Member{Meta: m, Addr: addr, Alive: true}
	was, known := g.members[m.Node]
	g.heard[m.Node] = time.Now()
	if was != next {
		g.members[m.Node] = next
		g.wake()
	}
	g.mu.Unlock()
	if !known || !was.Alive {
		g.table.Joined(m.Node)
	}
	if len(msg) > 0 {
		if err := g.table.Take(msg); err != nil && !errors.Is(err, rumor.ErrOld) {
			g.w.fail("gossip of %s is not taken: %v", m.Node, err)
		}
	}
}

// bury declares the silent dead.
func (g *gossip) bury() {
	var lost []api.NodeID
	g.mu.Lock()
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		m := g.members[id]
		if id != g.meta.Node && m.Alive && time.Since(g.heard[id]) > deadAfter {
			m.Alive = false
			g.members[id] = m
			lost = append(lost, id)
			g.wake()
		}
	}
	g.mu.Unlock()
	for _, id := range lost {
		g.table.Lost(id)
	}
}

func (g *gossip) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// Members returns every scheduler that was heard of.
func (g *gossip) Members() []rumor.Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := slices.Collect(maps.Values(g.members))
	slices.SortFunc(list, func(a, b rumor.Member) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return list
}

// Changed is closed at the next change of the members.
func (g *gossip) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// Asked is closed when everybody was asked once.
func (g *gossip) Asked() <-chan struct{} { return g.asked }

// SetMeta changes what is told of this scheduler.
func (g *gossip) SetMeta(m rumor.Meta) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.meta = m
	g.members[m.Node] = rumor.Member{Meta: m, Addr: g.self.name, Alive: true}
	g.wake()
}

// Close ends it.
func (g *gossip) Close() error {
	g.stop()
	g.wg.Wait()
	return nil
}
