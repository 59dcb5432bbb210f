package sim

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/control"
	"github.com/grafos/grafos/cluster/leader"
	clusterpeer "github.com/grafos/grafos/cluster/peer"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
)

const clusterID = "g-sim"

// seat is where a scheduler lives: its name and its disk outlive its process. Where the disk is
// lost, another scheduler with another id comes to live there.
type seat struct {
	w    *World
	name string
	stay
	turn chan struct{} // holds one: who starts or ends a life there

	mu    sync.Mutex
	now   *scheduler // guarded by mu: nil while it is down
	disk  *disk      // guarded by mu
	disks int        // guarded by mu: how many it has had
}

func newSeat(w *World, name string) *seat {
	return &seat{w: w, name: name, disk: newDisk(w.dice), disks: 1, turn: make(chan struct{}, 1)}
}

// drive is the seat's disk.
func (s *seat) drive() *disk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disk
}

// id is the scheduler's: whoever comes with an empty disk is another one.
func (s *seat) id() api.NodeID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disks == 1 {
		return api.NodeID(s.name)
	}
	return api.NodeID(s.name + "-" + itoa(s.disks))
}

// lose takes the disk away for good, with what was on it: who lives there is dead.
func (s *seat) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk, s.disks = newDisk(s.w.dice), s.disks+1
}

// replaced reports whether the seat had another disk before.
func (s *seat) replaced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disks > 1
}

// alone waits until nobody else starts or ends a life there. It is no mutex: time must go by
// meanwhile.
func (s *seat) alone() (over func()) {
	s.turn <- struct{}{}
	return func() { <-s.turn }
}

// scheduler is one life of a scheduler.
type scheduler struct {
	seat    *seat
	id      api.NodeID
	proc    *proc
	link    *link
	gossip  *gossip
	machine *fsm.Machine
	node    *cluster.Node
	control *control.Control
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	broken  chan error // holds one: why the process must end
}

func url(name string) string { return "https://" + name }

func nameOf(url string) string { return url[len("https://"):] }

// raftAddr is where a scheduler's Raft is; hostOf is the scheduler's name again.
func raftAddr(name string) string { return name + raftPort }

func hostOf(addr raft.ServerAddress) string { return strings.TrimSuffix(string(addr), raftPort) }

const raftPort = ":7491"

// alive returns the scheduler that lives there, nil when it is down.
func (s *seat) alive() *scheduler {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// start begins a life on the seat's disk.
func (s *seat) start() error {
	defer s.alone()()
	w := s.w
	n := &scheduler{seat: s, id: s.id(), proc: w.net.born(s.name), broken: make(chan error, 1)}
	ctx, cancel := context.WithCancel(n.proc.ctx)
	n.cancel = cancel
	disk := s.drive().mount(n.proc)
	disk.secret = func(where string) { w.fail("L7: scheduler %s writes a token to its disk, in %s", s.name, where) }
	clock := ownClock{w.clock, n.proc}
	n.machine = fsm.New(fsm.Options{
		Log:           w.log,
		Audit:         func(r []api.AuditRecord) error { return errors.Join(w.check.audit(n, r), disk.append(r)) },
		BeforePersist: disk.flush,
		Applied:       func(ch fsm.Change) { w.check.change(n, ch) },
		Fatal:         n.fail,
	})
	table := rumor.NewTable(n.id, clock.Now)
	node, err := cluster.Open(ctx, cluster.Config{
		Node: n.id, ClusterID: clusterID, RaftAddr: raftAddr(s.name), URL: url(s.name), Expect: w.cfg.Schedulers, Version: "sim",
		Joins:   s.replaced(),
		Machine: n.machine, Clock: clock, Log: stopLog{Logger: w.log.With("life", n.proc.id), p: n.proc},
		Storage: func(d cluster.Disk) (*cluster.Storage, error) {
			disk.failed, disk.stall = d.Failed, d.Stalled
			return &cluster.Storage{Log: disk, Stable: disk, Snapshots: snaps{disk}, Pending: disk.Pending, Close: func() error { return nil }}, nil
		},
		Link: func() (clusterpeer.Link, error) {
			n.link = newLink(w.net, n.proc, n.id, w.linkAt)
			return n.link, nil
		},
		Gossip: func(_ context.Context, m rumor.Meta) (cluster.Gossip, error) {
			n.gossip = newGossip(w, n.proc, table, m)
			return n.gossip, nil
		},
		Dial:   func(u string) (cluster.Peer, error) { return &peer{w: w, from: n.proc, to: nameOf(u)}, nil },
		Commit: w.cfg.Commit, SnapshotBytes: w.cfg.SnapshotBytes, SnapshotEvery: w.cfg.SnapshotEvery, Trailing: w.cfg.Trailing,
	})
	if err != nil {
		cancel()
		w.net.die(n.proc)
		return err
	}
	n.node = node
	n.serve(ctx, table, clock)
	s.mu.Lock()
	s.now = n
	s.mu.Unlock()
	return nil
}

// serve ties the duties of a leader and the services to the node.
func (n *scheduler) serve(ctx context.Context, table *rumor.Table, clock clock.Clock) {
	w, cfg := n.seat.w, n.seat.w.cfg
	lead := leader.New(leader.Config{
		Node: gate{n.node, n}, Machine: n.machine, ClusterID: clusterID, Providers: w.providers(),
		Sightings: table, Ask: func(ctx context.Context) { n.control.AskPeers(ctx) },
		Heartbeat: cfg.Heartbeat, Limit: cfg.Limit, Warmup: cfg.Warmup, Clock: clock, Random: w.dice, Log: w.log,
	})
	n.control = control.New(control.Config{
		Node: n.node.ID(), ClusterID: clusterID, Machine: n.machine, Cluster: n.node, Decider: lead,
		Blobs: w.blobs, Audit: auditLog{}, Sightings: table,
		Heartbeat: cfg.Heartbeat, Limit: cfg.Limit, Warmup: cfg.Warmup, Clock: clock, Random: w.dice, Log: w.log,
	})
	n.wg.Go(func() { n.node.Lead(ctx, lead.Run) })
	n.wg.Go(func() {
		select {
		case <-n.node.Failed():
			n.fail(n.node.Failure())
		case <-ctx.Done():
		}
	})
}

// gate tells the checker who decides, in which term.
type gate struct {
	*cluster.Node
	n *scheduler
}

// SetGate opens or closes it.
func (g gate) SetGate(open bool) {
	if open {
		g.n.seat.w.check.leads(g.n, g.State().Term)
	}
	g.Node.SetGate(open)
}

// fail notes why this process must end; whoever runs the faults ends it.
func (n *scheduler) fail(err error) {
	select {
	case n.broken <- err:
	default:
	}
}

// kill ends the life without a word to anybody.
func (s *seat) kill() {
	defer s.alone()()
	s.mu.Lock()
	n := s.now
	s.now = nil
	s.mu.Unlock()
	if n == nil {
		return
	}
	s.w.net.die(n.proc)
	s.drive().crash()
	n.end(n.node.Stop)
}

// stop ends the life in good order.
func (s *seat) stop() {
	defer s.alone()()
	n := s.alive()
	if n == nil {
		return
	}
	if err := n.node.GiveAway(); err != nil {
		s.w.log.Debug("leadership not handed over", "scheduler", s.name, "error", err)
	}
	s.mu.Lock()
	s.now = nil
	s.mu.Unlock()
	n.end(n.node.Stop)
	s.w.net.die(n.proc)
	s.drive().crash()
}

func (n *scheduler) end(stop func() error) {
	n.cancel()
	n.wg.Wait()
	if err := stop(); err != nil {
		n.seat.w.log.Debug("scheduler ended", "scheduler", n.seat.name, "error", err)
	}
}

// leads reports whether this scheduler leads and decides.
func (n *scheduler) leads() bool { return n != nil && n.node.Leads() }

// serveTime is how long a scheduler looks for a leader that answers, servePause the pause
// between two looks.
const (
	serveTime  = 20 * time.Second
	servePause = 20 * time.Millisecond
)

// decide has the leader do something, as the API does: here, or forwarded once. It is
// repeated while leadership moves; the idempotency key makes that safe.
func decide[T any](ctx context.Context, n *scheduler, do func(context.Context, *control.Control) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, serveTime)
	defer cancel()
	var none T
	for {
		at, self, err := n.node.Locate(ctx)
		if err != nil {
			return none, err
		}
		var v T
		if self {
			v, err = do(ctx, n.control)
		} else {
			v, err = forward(ctx, n, nameOf(at), do)
		}
		if api.KindOf(err) != api.NoLeader || !pass(ctx, servePause) {
			return v, err
		}
	}
}

func forward[T any](ctx context.Context, n *scheduler, to string, do func(context.Context, *control.Control) (T, error)) (T, error) {
	v, err := onScheduler(ctx, n.seat.w, n.proc, to, func(ctx context.Context, there *scheduler) (T, error) {
		if !there.leads() {
			var none T
			return none, api.Refuse(api.NoLeader, "scheduler %s does not lead", to)
		}
		return do(ctx, there.control)
	})
	return v, lost(err)
}

// lost turns a fault of the network into what a client is told: the fate of its request is
// not known, unless it surely did not arrive.
func lost(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errRefused):
		return api.Refuse(api.NoLeader, "%v", err)
	case errors.Is(err, errReset), errors.Is(err, errSilent), errors.Is(err, context.Canceled):
		return api.Refuse(api.OutcomeUnknown, "%v", err)
	}
	return err
}

// onScheduler calls a scheduler over the network.
func onScheduler[T any](ctx context.Context, w *World, from *proc, to string, do func(context.Context, *scheduler) (T, error)) (T, error) {
	caller := api.CallerFrom(ctx)
	return call(ctx, w.net, from, to, func(ctx context.Context, callee *proc) (T, error) {
		there := w.schedulerAt(to)
		if there == nil || there.proc != callee {
			var none T
			return none, errReset
		}
		return do(api.WithCaller(ctx, caller), there)
	})
}
