package pilot

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cluster/rumor"
)

// Config is what a pilot needs.
type Config struct {
	Raft      autopilot.Raft
	Self      api.NodeID
	ClusterID string
	Gossip    Gossip
	// Ask asks another scheduler what it is; Own is what this one would answer.
	Ask func(ctx context.Context, url string) (*api.MemberState, error)
	Own func() api.MemberState
	// Level is the cluster's feature level; Raise raises it.
	Level func() uint32
	Raise func(ctx context.Context, level uint32) error
	// Voters is how many are wanted.
	Voters int
	// Stable is for how long a scheduler must be well, or dead, before anything is done.
	Stable time.Duration
	// Contact is how long a healthy member has not heard its leader at most.
	Contact time.Duration
	Clock   clock.Clock
	Log     hclog.Logger
}

// Gossip is who is there.
type Gossip interface {
	Members() []rumor.Member
	Changed() <-chan struct{}
}

const (
	// maxTrailing is how many entries a healthy member may be behind.
	maxTrailing = 256
	// The pilot looks at the members looks times, and acts acts times, in Stable.
	looks, acts = 8, 4
	minLook     = 100 * time.Millisecond
	askTime     = time.Second
)

// Pilot keeps the members while its node leads.
type Pilot struct {
	c    Config
	auto *autopilot.Autopilot

	mu      sync.Mutex
	told    map[raft.ServerID]api.MemberState // guarded by mu: what each said last
	removed time.Time                         // guarded by mu: when a voter was removed last
	state   *autopilot.State                  // guarded by mu: nil while it does not run
	health  map[raft.ServerID]health          // guarded by mu
	run     context.Context                   //nolint:containedctx // guarded by mu: of the Run that is under way
}

// New returns a pilot that does nothing until Run is called.
func New(c Config) *Pilot {
	p := &Pilot{c: c, told: map[raft.ServerID]api.MemberState{}, health: map[raft.ServerID]health{}, run: context.Background()}
	look := max(c.Stable/looks, minLook)
	p.auto = autopilot.New(c.Raft, p, autopilot.WithPromoter(promoter{p}), autopilot.WithTimeProvider(c.Clock),
		autopilot.WithLogger(c.Log), autopilot.WithUpdateInterval(look),
		autopilot.WithReconcileInterval(max(c.Stable/acts, 2*minLook)))
	return p
}

// Run keeps the members until ctx ends, and returns when everything that it started has
// ended. It runs while this node leads.
func (p *Pilot) Run(ctx context.Context) {
	p.begin(ctx)
	p.auto.Start(ctx)
	for {
		changed := p.c.Gossip.Changed()
		p.admit(ctx)
		p.raise(ctx)
		if !waitAny(ctx, changed, max(p.c.Stable/acts, 2*minLook)) {
			break
		}
	}
	<-p.auto.Stop()
	p.begin(context.Background())
}

// begin forgets what a pilot learned in another spell of leading.
func (p *Pilot) begin(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run, p.state, p.removed = ctx, nil, time.Time{}
	clear(p.told)
	clear(p.health)
}

func (p *Pilot) now() time.Time { return p.c.Clock.Now() }

// configuration returns the members.
func (p *Pilot) configuration() ([]raft.Server, error) {
	f := p.c.Raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, err
	}
	return f.Configuration().Servers, nil
}

// waitAny waits for ch, for d or for ctx; it reports whether ctx is still alive.
func waitAny(ctx context.Context, ch <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ch:
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
