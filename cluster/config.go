package cluster

import (
	"context"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cluster/peer"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
)

// Config is what a node needs. Every field without a default is required.
type Config struct {
	// Node is the stable name of this scheduler. It is not an address.
	Node      api.NodeID
	ClusterID string
	// RaftAddr is what the other members dial.
	RaftAddr string
	// URL is the HTTPS address at which clients and the other schedulers reach this node.
	URL string
	// Expect is with how many schedulers a new cluster forms: 1, 3 or 5.
	Expect  int
	Version string
	Machine *fsm.Machine
	// Clock is the time that the node reads.
	Clock clock.Clock

	// Storage opens the log and the snapshots. It is told how the node hears of a disk that
	// stalls or fails. The node closes what it opened.
	Storage func(Disk) (*Storage, error)
	// Link opens the way to the other members' Raft.
	Link func() (peer.Link, error)
	// Gossip joins the other schedulers, telling them who this is.
	Gossip func(context.Context, rumor.Meta) (Gossip, error)
	// Dial makes a client of another scheduler's API. It is kept and closed with the node.
	Dial func(url string) (Peer, error)

	// Heartbeat, Election and Lease are Raft's timers. 500, 500 and 400 ms are the shortest
	// that kept their leader on two busy cores (docs/performance.md).
	Heartbeat, Election, Lease time.Duration
	// Stable is for how long a scheduler must be well before it gets a vote, and dead before it
	// is removed.
	Stable time.Duration
	// Behind counts what this node still has to fetch from the others before it may vote: the
	// vote vouches for more than the log. Nil is nothing.
	Behind func() int
	// Forked is told of a state that was recovered or restored, by its cluster epoch, with the
	// audit records that came with it, when this node takes it. Nil is nobody.
	Forked func(epoch uint64, tail []api.AuditRecord) error
	// Joins says that this node had data of the cluster and lost it: it waits to be added, and
	// never founds a cluster.
	Joins bool
	// Commit is after how long an idle leader tells its followers again what is committed. They
	// hear of an entry of ours at once (cluster/peer); of raft's own entries, and when that message
	// is lost, they learn after this time, twice at most. 0 is 250 ms.
	Commit time.Duration
	// Trailing is how many entries stay in the log behind a snapshot, for followers that are a
	// little behind; 0 is 2048.
	Trailing uint64
	// SnapshotBytes and SnapshotEvery trigger a snapshot; whichever comes first. A large state has the log
	// grow by more, four times SnapshotBytes at most; some members write theirs up to a quarter earlier.
	SnapshotBytes int64
	SnapshotEvery time.Duration

	Log hclog.Logger
}

// Storage is what a node must not forget.
type Storage struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	// Export writes a snapshot as an archive; nil is that there are none.
	Export func(id string, w io.Writer) error
	// Pending is for how long the oldest write to the log has not returned; nil is unknown.
	Pending func() time.Duration
	Close   func() error
}

// Disk is how storage tells its node of trouble. Neither function waits for anything.
type Disk struct {
	// Stalled is told, while it lasts, for how long a write has not returned.
	Stalled func(time.Duration)
	// Failed is told once of what the node cannot live on after.
	Failed func(error)
}

// Gossip is the node's view of the other schedulers; cluster/gossip is the real one.
type Gossip interface {
	// Members returns every scheduler that was heard of, this one included, by node id.
	Members() []rumor.Member
	// Changed is closed at the first change of Members after the call.
	Changed() <-chan struct{}
	// Asked is closed when every address that was given was asked once.
	Asked() <-chan struct{}
	// SetMeta changes what is told of this scheduler.
	SetMeta(rumor.Meta)
	Close() error
}

// Peer is another scheduler's API.
type Peer interface {
	api.Peers
	io.Closer
}

func (c Config) withDefaults() Config {
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	c.Heartbeat = orDefault(c.Heartbeat, 500*time.Millisecond)
	c.Election = orDefault(c.Election, 500*time.Millisecond)
	c.Lease = orDefault(c.Lease, 400*time.Millisecond)
	c.Stable = orDefault(c.Stable, 10*time.Second)
	if c.Behind == nil {
		c.Behind = func() int { return 0 }
	}
	c.SnapshotEvery = orDefault(c.SnapshotEvery, 10*time.Minute)
	c.Commit = orDefault(c.Commit, 250*time.Millisecond)
	if c.Trailing == 0 {
		c.Trailing = 2048
	}
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = 64 << 20
	}
	return c
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// Validate refuses what cannot work, naming the field and its value.
func (c Config) Validate() error {
	if err := api.CheckName("node name", string(c.Node)); err != nil {
		return err
	}
	if err := CheckExpect(c.Expect); err != nil {
		return err
	}
	return CheckTimers(c.Heartbeat, c.Election, c.Lease)
}

// CheckExpect refuses a number of schedulers that no cluster forms with.
func CheckExpect(n int) error {
	switch n {
	case 1, 3, 5:
		return nil
	}
	return api.Refuse(api.InvalidArgument,
		"bootstrap-expect is %d: a cluster forms with 1, 3 or 5 schedulers, since an even number tolerates no more failures than one fewer", n)
}

// The shortest timers that are taken. Two busy cores lost their leader with them when they
// were starved, and elected none at all with half of them (docs/operations.md).
const (
	leastHeartbeat = 300 * time.Millisecond
	leastLease     = 250 * time.Millisecond
)

// CheckTimers refuses what cannot work, and what works only on an idle host.
func CheckTimers(heartbeat, election, lease time.Duration) error {
	switch {
	case heartbeat < leastHeartbeat || election < leastHeartbeat || lease < leastLease:
		return api.Refuse(api.InvalidArgument, "raft's heartbeat, election and lease timers are %s, %s and %s: below %s, %s and %s a busy host loses its leader, and may never elect one",
			heartbeat, election, lease, leastHeartbeat, leastHeartbeat, leastLease).
			WithHint("leave them at 500ms, 500ms and 400ms: when a leader's process dies, it is replaced in tens of milliseconds whatever they are")
	case election < heartbeat:
		return api.Refuse(api.InvalidArgument, "raft's election timeout %s is shorter than its heartbeat timeout %s", election, heartbeat)
	case lease > heartbeat:
		return api.Refuse(api.InvalidArgument, "the leader lease %s is longer than the heartbeat timeout %s", lease, heartbeat)
	}
	return nil
}
