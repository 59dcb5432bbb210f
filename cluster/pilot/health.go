package pilot

import (
	"cmp"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
)

// health is whether a member is well, and since when that is so. It is kept here since
// autopilot (v0.3.0) never moves its own StableSince: it compares what it sees with itself.
type health struct {
	well  bool
	since time.Time
}

// observe takes note of what changed; the caller holds p.mu.
func (p *Pilot) observe(s *autopilot.State) {
	now := p.now()
	for id, m := range s.Servers {
		if h, ok := p.health[id]; !ok || h.well != m.Health.Healthy {
			p.health[id] = health{m.Health.Healthy, now}
		}
	}
	for id := range p.health {
		if s.Servers[id] == nil {
			delete(p.health, id)
		}
	}
}

// since is from when on a member has been well, or not, in a state of autopilot: now, where that
// state is newer than what was observed.
func (p *Pilot) since(m *autopilot.ServerState) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, ok := p.health[m.Server.ID]
	if !ok || h.well != m.Health.Healthy {
		return p.now()
	}
	return h.since
}

// lasting is for how long that has been so.
func (p *Pilot) lasting(m *autopilot.ServerState) time.Duration { return p.now().Sub(p.since(m)) }

// stable reports whether a member has been well for long enough.
func (p *Pilot) stable(m *autopilot.ServerState) bool {
	return m.Health.Healthy && p.lasting(m) >= p.c.Stable
}

// steadiest sorts members: who has been what it is for longest comes first, then by id.
func (p *Pilot) steadiest(list []*autopilot.ServerState) []raft.ServerID {
	slices.SortFunc(list, func(a, b *autopilot.ServerState) int {
		return cmp.Or(p.since(a).Compare(p.since(b)), cmp.Compare(a.Server.ID, b.Server.ID))
	})
	ids := make([]raft.ServerID, len(list))
	for i, m := range list {
		ids[i] = m.Server.ID
	}
	return ids
}
