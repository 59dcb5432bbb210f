package gossip

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
)

// maxMembers bounds the schedulers that are remembered, dead ones too: those that are dead for
// the longest are forgotten for new ones.
const maxMembers = 64

// delegate is what memberlist calls: from its own goroutines, some with its locks held, so
// nothing here calls memberlist or waits.
type delegate struct {
	node  api.NodeID
	table *rumor.Table
	log   hclog.Logger
	drops *Drops

	mu      sync.Mutex
	meta    []byte                      // guarded by mu: ours, printed
	self    rumor.Meta                  // guarded by mu: ours
	members map[api.NodeID]rumor.Member // guarded by mu
	deaths  uint64                      // guarded by mu: how many there were
	died    map[api.NodeID]uint64       // guarded by mu: of each member that is dead, which of them its was
	changed chan struct{}               // guarded by mu: closed at the next change of members
}

func newDelegate(c Config) *delegate {
	return &delegate{node: c.Node, table: c.Table, log: c.Log, drops: c.Drops, members: map[api.NodeID]rumor.Member{}, died: map[api.NodeID]uint64{}, changed: make(chan struct{})}
}

func (d *delegate) setMeta(m rumor.Meta) error {
	b, err := m.Encode()
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.meta, d.self = b, m
	if self, ok := d.members[d.node]; ok && self.Meta != m {
		self.Meta = m
		d.members[d.node] = self
		d.wakeLocked()
	}
	return nil
}

func (d *delegate) wakeLocked() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// NodeMeta implements memberlist.Delegate.
func (d *delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta
}

// NotifyMsg implements memberlist.Delegate: a packet with transitions.
func (d *delegate) NotifyMsg(b []byte) { d.take(b) }

// GetBroadcasts implements memberlist.Delegate.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	if b := d.table.Packet(limit - overhead); b != nil {
		return [][]byte{b}
	}
	return nil
}

// LocalState implements memberlist.Delegate: this scheduler's half of a push/pull.
func (d *delegate) LocalState(bool) []byte { return d.table.Whole() }

// MergeRemoteState implements memberlist.Delegate: the other half.
func (d *delegate) MergeRemoteState(b []byte, _ bool) { d.take(b) }

func (d *delegate) take(b []byte) {
	if err := d.table.Take(b); err != nil {
		sayDropped(d.log, d.drops, dropOfDigest(err), err.Error())
	}
}

// NotifyAlive implements memberlist.AliveDelegate: who has no proper meta is no scheduler.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	if _, err := rumor.DecodeMeta(n.Name, n.Meta); err != nil {
		return fmt.Errorf("refuse %s at %s: %w", n.Name, n.Address(), err)
	}
	return nil
}

// NotifyJoin implements memberlist.EventDelegate.
func (d *delegate) NotifyJoin(n *memberlist.Node) {
	if d.put(n, true) {
		d.table.Joined(api.NodeID(n.Name))
		d.log.Info("scheduler joined", "node_id", n.Name, "address", n.Address())
	}
}

// NotifyUpdate implements memberlist.EventDelegate.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.put(n, true) }

// NotifyLeave implements memberlist.EventDelegate, for the dead as well.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	d.table.Lost(api.NodeID(n.Name))
	if d.put(n, false) {
		d.log.Info("scheduler left or died", "node_id", n.Name, "address", n.Address())
	}
}

// NotifyConflict implements memberlist.ConflictDelegate.
func (d *delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.log.Error("two schedulers have one name", "node_id", existing.Name, "address", existing.Address(), "other", other.Address())
}

// put stores a member and reports whether anything changed.
func (d *delegate) put(n *memberlist.Node, alive bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := api.NodeID(n.Name)
	m := rumor.Member{Addr: n.Address(), Alive: alive}
	old, held := d.members[id]
	switch meta, err := rumor.DecodeMeta(n.Name, n.Meta); {
	case id == d.node:
		m.Meta = d.self
	case err == nil:
		m.Meta = meta
	case held:
		m.Meta = old.Meta
	default:
		return false
	}
	if held && old == m || !held && !d.roomLocked(id, alive) {
		return false
	}
	d.members[id] = m
	if alive {
		delete(d.died, id)
	} else if _, dead := d.died[id]; !dead {
		d.deaths++
		d.died[id] = d.deaths
	}
	d.wakeLocked()
	return true
}

// roomLocked reports whether one more member can be remembered. Where there are too many, the
// one that is dead for the longest is forgotten, and what it told of the cells: every
// scheduler that is replaced or rejoins has a new id. A member of the Raft group that is dead
// may be forgotten too: it is known again when it lives.
func (d *delegate) roomLocked(id api.NodeID, alive bool) bool {
	if len(d.members) < maxMembers {
		return true
	}
	if !alive {
		return false // it is not worth another's place
	}
	var oldest api.NodeID
	for dead, at := range d.died {
		if oldest == "" || at < d.died[oldest] {
			oldest = dead
		}
	}
	if oldest == "" {
		sayDropped(d.log, d.drops, DropFull, fmt.Sprintf("scheduler %s is not taken: %d others live", id, len(d.members)))
		return false
	}
	delete(d.members, oldest)
	delete(d.died, oldest)
	d.table.Forget(oldest)
	d.log.Info("dead scheduler forgotten", "node_id", string(oldest), "for", string(id))
	return true
}

// Members returns every scheduler that was heard of, this one included, by node id.
func (g *Gossip) Members() []rumor.Member {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	members := make([]rumor.Member, 0, len(g.d.members))
	for _, m := range g.d.members {
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b rumor.Member) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return members
}

// Changed returns a channel that is closed at the first change of Members after the call:
// take it before Members.
func (g *Gossip) Changed() <-chan struct{} {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	return g.d.changed
}
