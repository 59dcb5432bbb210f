package pilot

import (
	"context"
	"math"

	"github.com/hashicorp/raft"
)

// raise raises the feature level to what every member knows, those without a vote too. A
// member that did not answer when it was asked last may know anything. It is done by whoever
// adds members, so that none comes in between that knows less.
func (p *Pilot) raise(ctx context.Context) {
	servers, err := p.configuration()
	if err != nil {
		return
	}
	level := p.known(servers)
	if level <= p.c.Level() {
		return
	}
	if err := p.c.Raise(ctx, level); err != nil && ctx.Err() == nil {
		p.c.Log.Warn("feature level not raised", "level", level, "error", err)
	}
}

// known is the newest level that all members know; 0 where one has not said.
func (p *Pilot) known(servers []raft.Server) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	level := uint32(math.MaxUint32)
	for _, s := range servers {
		level = min(level, p.told[s.ID].Level)
	}
	if len(servers) == 0 {
		return 0
	}
	return level
}
