// Package control is the api services as a scheduler gives them: reads over a view of the
// replicated state, writes as commands that the leader decides and commits.
//
// It says what it needs of the node and of the leader in small interfaces and imports
// neither. Who asks travels in the context; what they may see is decided in access.go.
package control

import (
	"context"
	"crypto/rand"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/semaphore"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker/attest"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster/relay"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/placement"
)

// Cluster is what the services need of their node.
type Cluster interface {
	Reads
	Leadership
	Group
	Objections
	Self
	Fellows
}

// Fellows are the other schedulers.
type Fellows interface {
	Peer(id api.NodeID) (api.Peers, error)
	// Others lists the live ones.
	Others() []api.NodeID
}

// Self is what a node says of itself.
type Self interface {
	State() api.NodeState
	// Stats are what Raft counts.
	Stats() map[string]string
}

// Group is the Raft group of a node.
type Group interface {
	api.Membership
	Members(ctx context.Context) (*api.RaftMembers, error)
	Transfer(ctx context.Context, to api.NodeID) (*api.RaftTransfer, error)
	Remove(ctx context.Context, id api.NodeID, force bool, d api.Dismissal) error
	// Peers lists the members with what gossip knows of them.
	Peers() []api.Peer
}

// Objections are what speaks against a change of the group.
type Objections interface {
	// Transferable is about a hand-over.
	Transferable(id api.NodeID) error
	// Removable is about a removal.
	Removable(id api.NodeID, force bool) error
}

// Archives are a node's snapshots.
type Archives interface {
	SaveSnapshot(ctx context.Context, stale bool) (io.ReadCloser, error)
	RestoreArchive(ctx context.Context, archive io.Reader, o RestoreOrder) (*api.RestoreReport, error)
}

// Reads are the verified reads of a node.
type Reads interface {
	// Read returns a state with every write acknowledged before the call.
	Read(ctx context.Context) (*fsm.View, error)
	ReadIndex(ctx context.Context) (*api.ReadIndex, error)
}

// Leadership is who leads, as the node knows it now.
type Leadership interface {
	// Leads reports whether this node leads and may decide.
	Leads() bool
	// Leader is "" when none is known.
	Leader() api.NodeID
	// LeaderMoved returns a channel that is closed when another one leads, or nobody.
	LeaderMoved() <-chan struct{}
	// Touch is for how long this node has not heard its leader; 0 on the leader.
	Touch() time.Duration
	// Age is Touch, or api.NeverHeard where this process has heard no leader yet.
	Age() time.Duration
}

// Decider commits commands; it refuses with no_leader where this node does not lead.
type Decider interface {
	Submit(ctx context.Context, cmd fsm.Command) (fsm.Result, error)
	Admit(ctx context.Context, g fsm.GrantLeases) (fsm.Result, error)
	AdmitAll(ctx context.Context, gs []fsm.GrantLeases) ([]fsm.Result, []error)
	Plan(r placement.Request) (api.Plan, error)
}

// Blobs is the node's store of content-addressed bytes.
type Blobs interface {
	Put(ctx context.Context, d api.Digest, size int64, r io.Reader) error
	PutLocal(ctx context.Context, d api.Digest, size int64, r io.Reader) error
	Get(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error)
	GetLocal(d api.Digest) (io.ReadCloser, int64, error)
	Has(ctx context.Context, d api.Digest) (bool, error)
}

// AuditLog is the node's copy of the audit chain.
type AuditLog interface {
	Read(f api.AuditFilter) (records []api.AuditRecord, next uint64, err error)
}

// Config is what the services need.
type Config struct {
	Node      api.NodeID
	ClusterID string
	Machine   *fsm.Machine
	Cluster   Cluster
	Decider   Decider
	Blobs     Blobs
	Audit     AuditLog
	// Archives are this scheduler's snapshots; nil is that there are none to take or to restore.
	Archives  Archives
	Material  *pki.Material
	Sightings *rumor.Table
	// Issuers verify the bootstrap tokens of others; nil is that there are none.
	Issuers Issuers
	// Evidence is what providers ask of hosts that become cells; nil is that none asks for anything.
	Evidence *attest.Policies
	// Heartbeat, Limit and Warmup are the cells' timers, told at registration.
	Heartbeat, Limit, Warmup time.Duration
	// Process says what this process is; nil says nothing.
	Process func() api.ProcessReport
	// Clock is the time that the services read; without it, it is this machine's.
	Clock clock.Clock
	// Random names questions; without it, it is this machine's.
	Random io.Reader
	Log    hclog.Logger
}

// Control implements api.Services, api.CellAgent and api.Peers.
type Control struct {
	cfg      Config
	log      hclog.Logger
	tokens   *tokens
	mints    *mints
	sessions *sessions
	lookout  *lookout
	urls     urls
	batched  *semaphore.Weighted // for requests of batches that are under way
	atWork   *semaphore.Weighted // and for those that are decided or bound just now
	opening  *semaphore.Weighted // for sessions that have not said anything yet
	bindings *bindings
	relays   *relay.Table
	suites   suites
	reunions *reunions

	invariants invariants
}

// Every service, checked by the compiler.
var (
	_ api.Services  = (*Control)(nil)
	_ api.CellAgent = (*Control)(nil)
	_ api.Peers     = (*Control)(nil)
)

// New returns the services of one node.
func New(c Config) *Control {
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	n := &Control{
		cfg: c, log: c.Log, tokens: newTokens(c.Clock), mints: newMints(), sessions: newSessions(),
		batched: semaphore.NewWeighted(maxBatched), atWork: semaphore.NewWeighted(maxAtWork), opening: semaphore.NewWeighted(openings()),
		bindings: newBindings(), relays: relay.New(), reunions: newReunions(), invariants: invariants{clock: c.Clock},
	}
	n.lookout = newLookout(n.outlook)
	return n
}
