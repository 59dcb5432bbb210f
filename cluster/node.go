package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cluster/peer"
	"github.com/grafos/grafos/cluster/pilot"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
)

// Node is one member of the Raft group.
type Node struct {
	cfg     Config
	log     hclog.Logger
	raft    *raft.Raft
	machine *machine
	trans   *peer.Transport
	gossip  Gossip
	started time.Time
	heard   heard
	voters  atomic.Pointer[electorate] // as of the newest members that were asked for

	leadership *leadership
	verifier   *batcher
	peers      *peerClients

	cancel  context.CancelFunc
	wg      sync.WaitGroup
	calls   tasks        // on behalf of callers
	handed  atomic.Bool  // a stall is being answered by giving leadership away
	handing atomic.Int32 // how many hand-overs are under way
	opened  atomic.Bool  // raft and its transport are there
	pilot   *pilot.Pilot
	storage *Storage
	// paused are what must run while this node leads and nothing is decided (pauseLead).
	paused chan func()
	// hung holds one: this leader has fallen silent, and its role ends (Lead).
	hung chan struct{}
	// elsewhere is who leads while this node, with a disk that hangs, still takes itself for the
	// leader; nil is that nobody is known.
	elsewhere atomic.Pointer[string]

	hasState atomic.Bool               // it has, or has heard of, a cluster with data
	asks     atomic.Bool               // it asks to be added
	settled  atomic.Bool               // it has a configuration
	waiting  atomic.Value              // string: why it has none yet
	out      atomic.Pointer[api.Error] // why it answers nobody, though it has one
	away     *away
	// differs is in which way the voters' states differ; nil is that they do not.
	differs atomic.Pointer[string]
	// watches says that a connection to the leader's process is held.
	watches atomic.Bool
	// snapshot is how the newest snapshot of this node's own went; nil is that there was none.
	snapshot atomic.Pointer[SnapshotResult]
	// undo closes, in reverse, what Open opened.
	undo []func() error

	raftOnce sync.Once
	raftEnd  raft.Future   // valid once raftOnce is done
	raftEnds chan struct{} // closed then

	failOnce sync.Once
	failed   chan struct{}
	failure  error

	closeOnce sync.Once
	closeErr  error
}

// logCacheEntries bounds the newest entries kept in memory: they are what followers ask for.
const logCacheEntries = 256

// Open starts a node: its log, its transport, its gossip, and the search for a cluster to
// form where there is none yet. An Open that fails leaves nothing behind.
func Open(ctx context.Context, c Config) (*Node, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: c, log: c.Log, machine: &machine{Machine: c.Machine, forked: c.Forked}, started: c.Clock.Now(),
		failed: make(chan struct{}), raftEnds: make(chan struct{}), paused: make(chan func()), hung: make(chan struct{}, 1), leadership: newLeadership(c.Clock, c.Lease),
	}
	n.machine.fail = n.Fail
	ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(n.cause(err), n.Close())
	}
	return n, nil
}

// cause is why the node did not open: raft says only that it could not read what it keeps.
func (n *Node) cause(err error) error {
	select {
	case <-n.failed:
		return errors.Join(n.failure, err)
	default:
	}
	if why := n.machine.refused.Load(); why != nil {
		return errors.Join(*why, err)
	}
	return err
}

func (n *Node) open(ctx context.Context) error {
	c := n.cfg
	storage, err := c.Storage(Disk{Stalled: n.stalled, Failed: n.Fail})
	if err != nil {
		return fmt.Errorf("open raft storage: %w", err)
	}
	n.onClose(storage.Close)
	n.storage, n.away = storage, newAway(storage.Stable, c.Clock)
	hasState, err := raft.HasExistingState(storage.Log, storage.Stable, storage.Snapshots)
	if err != nil {
		return fmt.Errorf("look for raft state: %w", err)
	}
	cached, err := raft.NewLogCache(logCacheEntries, storage.Log)
	if err != nil {
		return fmt.Errorf("open log cache: %w", err)
	}
	link, err := c.Link()
	if err != nil {
		return fmt.Errorf("open raft link: %w", err)
	}
	n.trans = peer.New(link, c.Clock, n.log.Named("raft"), n.hears)
	n.machine.tell = n.trans.Committed
	n.onClose(n.trans.Close)
	n.raft, err = n.newRaft(cached, storage)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	n.opened.Store(true)
	n.onClose(func() error { return n.endRaft().Error() })
	// Calls end when their entries commit or leadership ends, so raft goes after them.
	n.onClose(func() error { n.calls.close(); return nil })
	n.verifier = newBatcher(func() (uint64, error) { return n.verifyOnce(ctx) }, n.calls.start)
	n.peers = &peerClients{open: map[string]Peer{}, dial: c.Dial}
	n.onClose(n.peers.close)

	n.hasState.Store(hasState || c.Joins)
	n.asks.Store(!hasState)
	n.settled.Store(n.hasConfiguration())
	n.gossip, err = c.Gossip(ctx, n.meta())
	if err != nil {
		return fmt.Errorf("start gossip: %w", err)
	}
	n.onClose(n.gossip.Close)
	n.pilot = n.newPilot()

	n.wg.Go(func() { n.watchLeadership(ctx) })
	n.wg.Go(func() { n.watchPlace(ctx) })
	n.wg.Go(func() { n.snapshots(ctx) })
	n.wg.Go(func() { n.watchAgreement(ctx) })
	if !n.settled.Load() {
		n.wg.Go(func() { n.bootstrap(ctx) })
	}
	return nil
}

func (n *Node) meta() rumor.Meta {
	return rumor.Meta{
		Node: n.cfg.Node, URL: n.cfg.URL, RaftAddr: n.cfg.RaftAddr,
		Expect: n.cfg.Expect, HasState: n.hasState.Load(), Asks: n.asks.Load(), Version: n.cfg.Version, Level: uint32(fsm.NewestLevel),
	}
}

// newPilot makes what keeps the members while this node leads.
func (n *Node) newPilot() *pilot.Pilot {
	return pilot.New(pilot.Config{
		Raft: n.raft, Self: n.cfg.Node, ClusterID: n.cfg.ClusterID, Gossip: n.gossip,
		Ask: func(ctx context.Context, url string) (*api.MemberState, error) {
			peer, err := n.dialPeer(url)
			if err != nil {
				return nil, err
			}
			return peer.Member(ctx)
		},
		Level: func() uint32 { return uint32(n.machine.View().Level()) }, Raise: n.raiseLevel,
		Own: n.member, Voters: n.cfg.Expect, Stable: n.cfg.Stable, Contact: 2 * n.cfg.Heartbeat, Clock: n.cfg.Clock, Log: n.log.Named("members"),
	})
}

func (n *Node) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.cfg.Node)
	c.Logger = n.trans.Logger()
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = n.cfg.Heartbeat, n.cfg.Election, n.cfg.Lease
	c.CommitTimeout = n.cfg.Commit
	// Entries are groups of up to 200 KiB: 32 of them are plenty for one message.
	c.MaxAppendEntries = 32
	c.NoLegacyTelemetry = true
	c.ShutdownOnRemove = false
	// Snapshots are triggered by bytes (snapshots), since an entry can be a group of any size.
	c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 1<<62, time.Hour, n.cfg.Trailing
	return c
}

const (
	// stallGiveAway and stallStop are for how long a write may not return before a leader
	// hands over, and before any node stops: a disk that hangs keeps an election from coming.
	stallGiveAway = 2 * time.Second
	stallStop     = 10 * time.Second
	// stallHush is for how long a leader says nothing after it was told of a stall: longer than
	// until it is told again, and long enough for the others to elect another one.
	stallHush = 2 * time.Second
)

// stalled is told while a write to the log does not return.
func (n *Node) stalled(d time.Duration) {
	if d >= stallStop {
		n.Fail(fmt.Errorf("the disk of scheduler %s has not finished a write for %s", n.cfg.Node, d))
	}
	// A disk can stall before there is a raft; and who is alone has nobody to give the lead to.
	if d < stallGiveAway || !n.opened.Load() || n.raft.State() != raft.Leader || n.quorum() == 1 {
		return
	}
	if n.trans.Hush(n.raft.CurrentTerm(), stallHush) {
		select {
		case n.hung <- struct{}{}:
		default: // Lead has not looked yet
		}
	}
	if !n.handed.CompareAndSwap(false, true) {
		return
	}
	n.log.Error("the disk stalls: leadership is given away", "since", d)
	// The transfer waits for the very write that stalls: until then, silence elects another one.
	n.calls.start(func() {
		defer n.handed.Store(false)
		if err := n.GiveAway(); err != nil {
			n.log.Warn("leadership not handed over", "error", err)
		}
	})
}

func (n *Node) onClose(f func() error) { n.undo = append(n.undo, f) }

// A snapshot costs what the state holds, not what has changed: the log grows by so many times what the
// last one held, and by so many times Config.SnapshotBytes at most, which is what a start has to
// apply again. At 300,000 leases a snapshot every 64 MiB was a twelfth of all that the schedulers did.
const (
	snapshotHeld = 2
	snapshotMost = 4
)

// enough is by how much the log grows between two snapshots.
func (n *Node) enough() int64 {
	return min(max(n.cfg.SnapshotBytes, snapshotHeld*n.machine.held.Load()), snapshotMost*n.cfg.SnapshotBytes)
}

// inTurn is enough for one of the members: each has a little less than the one before, in the order of
// their ids, and a quarter less at most. Their logs grow alike, and would have all of them write
// a snapshot in the same second each time; so they do seldom.
func inTurn(enough int64, self raft.ServerID, all []raft.Server) int64 {
	rank := 0
	for _, s := range all {
		if s.ID < self {
			rank++
		}
	}
	return enough - enough/4*int64(rank)/int64(max(len(all), 1))
}

// snapshots asks raft for a snapshot when the log has grown enough, or some and long ago.
func (n *Node) snapshots(ctx context.Context) {
	last := n.cfg.Clock.Now()
	for clock.Sleep(ctx, time.Second) {
		grown := n.machine.bytes.Load()
		if grown < inTurn(n.enough(), raft.ServerID(n.cfg.Node), n.servers()) && (grown == 0 || clock.Since(n.cfg.Clock, last) < n.cfg.SnapshotEvery) {
			continue
		}
		last = n.cfg.Clock.Now()
		err := n.raft.Snapshot().Error()
		if errors.Is(err, raft.ErrNothingNewToSnapshot) {
			continue
		}
		n.snapshot.Store(&SnapshotResult{Err: err})
		if err != nil {
			n.log.Warn("snapshot", "error", err)
		}
	}
}

// SnapshotResult is how a snapshot went; without an error it was taken.
type SnapshotResult struct{ Err error }

// LastSnapshot is how the newest snapshot went that this node took by itself since it was
// started; nil where it took none.
func (n *Node) LastSnapshot() *SnapshotResult { return n.snapshot.Load() }

// Fail stops the node for a reason that it cannot mend: a log entry that it cannot read or
// does not know. Failed is closed and Failure says why.
func (n *Node) Fail(err error) {
	n.failOnce.Do(func() {
		n.failure = err
		close(n.failed)
	})
}

// Failed is closed when the node must stop.
func (n *Node) Failed() <-chan struct{} { return n.failed }

// Failure is why; valid once Failed is closed.
func (n *Node) Failure() error { return n.failure }

// ID names this scheduler.
func (n *Node) ID() api.NodeID { return n.cfg.Node }

// Gossip returns the node's view of the other schedulers.
func (n *Node) Gossip() Gossip { return n.gossip }

// GiveAway hands leadership to another voter: before a graceful stop, or when a step of a
// leader's start failed.
func (n *Node) GiveAway() error {
	if n.raft.State() != raft.Leader {
		return nil
	}
	if err := n.handOver(n.raft.LeadershipTransfer); err != nil {
		return fmt.Errorf("transfer leadership: %w", err)
	}
	return nil
}

// Close hands leadership away, stops everything and waits for it.
func (n *Node) Close() error {
	if n.raft != nil && n.cfg.Expect > 1 {
		if err := n.GiveAway(); err != nil {
			n.log.Warn("leadership not handed over", "error", err)
		}
	}
	return n.Stop()
}

// Stop is Close without the hand-over.
func (n *Node) Stop() error {
	n.closeOnce.Do(func() {
		n.cancel()
		n.wg.Wait()
		var errs []error
		for _, undo := range slices.Backward(n.undo) {
			errs = append(errs, undo())
		}
		n.closeErr = errors.Join(errs...)
	})
	return n.closeErr
}

// State says what the node is, for people and for the checker of the promises.
func (n *Node) State() api.NodeState {
	_, id := n.raft.LeaderWithID()
	v := n.machine.View()
	st := api.NodeState{
		Node: n.cfg.Node, ClusterID: n.cfg.ClusterID, Role: role(n.raft.State()), Leader: api.NodeID(id),
		URL: n.cfg.URL, RaftAddr: n.cfg.RaftAddr, Term: n.raft.CurrentTerm(),
		AppliedIndex: v.Index(), CommitIndex: n.raft.CommitIndex(), LastIndex: n.raft.LastIndex(),
		Fingerprint: v.Fingerprint(), StartedAt: n.started.UTC(), Version: n.cfg.Version,
		Level: uint32(v.Level()), NewestLevel: uint32(fsm.NewestLevel), ClusterEpoch: v.ClusterEpoch(),
		Peers: n.Peers(), Fingerprints: n.machine.Fingerprints(), Differs: n.Differs(),
	}
	st.LeaderURL = n.urlOf(api.NodeID(id))
	if age := n.Age(); age != api.NeverHeard {
		st.LastContactMs = age.Milliseconds()
	} else {
		st.LastContactMs = -1
	}
	st.Ready, st.NotReady = n.ready(st)
	if out := n.out.Load(); out != nil && out.Kind == api.SchedulerRemoved {
		st.Removed = out
	}
	return st
}

// ready reports whether the node has a leader and has caught up with it.
func (n *Node) ready(st api.NodeState) (bool, string) {
	select {
	case <-n.failed:
		return false, n.failure.Error()
	default:
	}
	if err := n.Standing(); err != nil {
		return false, err.Error()
	}
	switch {
	case st.Leader == "":
		return false, "there is no leader"
	case n.hushed():
		return false, "its disk hangs: it has given up the lead"
	case st.Role == "leader" && !n.leadership.open():
		return false, "this leader is still catching up"
	case st.LastIndex > 0 && n.raft.AppliedIndex()+readyLag < n.raft.CommitIndex():
		return false, fmt.Sprintf("it is %d entries behind", n.raft.CommitIndex()-n.raft.AppliedIndex())
	}
	return true, ""
}

// readyLag is how many entries a ready node may be behind.
const readyLag = 256

func role(s raft.RaftState) string {
	switch s {
	case raft.Leader:
		return "leader"
	case raft.Follower:
		return "follower"
	case raft.Candidate:
		return "candidate"
	case raft.Shutdown:
		return "shutdown"
	}
	return "unknown"
}

// Stats are what raft counts.
func (n *Node) Stats() map[string]string { return n.raft.Stats() }

// Peers lists the members of the Raft group with what gossip knows of them.
func (n *Node) Peers() []api.Peer {
	alive := map[api.NodeID]rumor.Member{}
	for _, m := range n.gossip.Members() {
		alive[m.Node] = m
	}
	var peers []api.Peer
	for _, s := range n.servers() {
		m := alive[api.NodeID(s.ID)]
		peers = append(peers, api.Peer{
			Node: api.NodeID(s.ID), URL: m.URL, RaftAddr: string(s.Address),
			Voter: s.Suffrage == raft.Voter, Alive: m.Alive,
		})
	}
	return peers
}
