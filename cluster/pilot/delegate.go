package pilot

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
)

// spare is the type of a member that has no vote and is not counted as if it had one.
const spare autopilot.NodeType = "spare"

// AutopilotConfig implements autopilot.ApplicationIntegration.
func (p *Pilot) AutopilotConfig() *autopilot.Config {
	return &autopilot.Config{
		CleanupDeadServers: true, LastContactThreshold: p.c.Contact, MaxTrailingLogs: maxTrailing,
		MinQuorum: uint(p.c.Voters), ServerStabilizationTime: p.c.Stable,
	}
}

// NotifyState implements autopilot.ApplicationIntegration.
func (p *Pilot) NotifyState(s *autopilot.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run.Err() == nil {
		p.state = s
		p.observe(s)
	}
}

// KnownServers implements autopilot.ApplicationIntegration. A member that gossip has not
// found, as after a start of the whole cluster, is a failed one: one that is not known at
// all would be removed at once.
func (p *Pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	servers, err := p.configuration()
	if err != nil {
		return nil
	}
	alive := map[raft.ServerID]rumor.Member{}
	for _, m := range p.c.Gossip.Members() {
		if m.Alive {
			alive[raft.ServerID(m.Node)] = m
		}
	}
	known := make(map[raft.ServerID]*autopilot.Server, len(servers))
	for _, s := range servers {
		m, lives := alive[s.ID]
		k := &autopilot.Server{
			ID: s.ID, Name: string(s.ID), Address: s.Address, NodeStatus: autopilot.NodeFailed, Version: m.Version,
			IsLeader: s.ID == raft.ServerID(p.c.Self), NodeType: spare,
		}
		if lives {
			k.NodeStatus = autopilot.NodeAlive
		}
		if s.Suffrage == raft.Voter {
			k.NodeType = autopilot.NodeVoter
		}
		known[s.ID] = k
	}
	return known
}

// FetchServerStats implements autopilot.ApplicationIntegration: every member that lives is
// asked at the same time. Its ctx is not used: its deadline is of another clock.
func (p *Pilot) FetchServerStats(_ context.Context, known map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	var mu sync.Mutex
	stats := map[raft.ServerID]*autopilot.ServerStats{}
	p.mu.Lock()
	run := p.run
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, m := range p.c.Gossip.Members() {
		id := raft.ServerID(m.Node)
		if known[id] == nil || !m.Alive {
			continue
		}
		wg.Go(func() {
			st, err := p.ask(run, m)
			if err != nil || st.Node != m.Node {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			stats[id] = statsOf(*st)
			p.note(id, *st)
		})
	}
	wg.Wait()
	// Whoever does not answer is not well, however it was before.
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range known {
		if stats[id] == nil {
			stats[id] = &autopilot.ServerStats{LastContact: -1}
			delete(p.told, id)
		}
	}
	return stats
}

func statsOf(st api.MemberState) *autopilot.ServerStats {
	return &autopilot.ServerStats{
		LastContact: time.Duration(st.LastContactMs) * time.Millisecond, LastTerm: st.LastTerm, LastIndex: st.LastIndex,
	}
}

func (p *Pilot) note(id raft.ServerID, st api.MemberState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told[id] = st
}

// Waits is how much a member still has to fetch before it may have a vote.
func (p *Pilot) Waits(id api.NodeID) int { return p.behind(raft.ServerID(id)) }

// behind is how much a member still has to fetch, as it said last; 1 where it said nothing.
func (p *Pilot) behind(id raft.ServerID) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	st, ok := p.told[id]
	if !ok {
		return 1
	}
	return st.Behind
}

// RemoveFailedServer implements autopilot.ApplicationIntegration.
func (p *Pilot) RemoveFailedServer(s *autopilot.Server) {
	servers, err := p.configuration()
	if err != nil {
		return
	}
	voter := false
	for _, m := range servers {
		voter = voter || m.ID == s.ID && m.Suffrage == raft.Voter
	}
	if err := p.c.Raft.RemoveServer(s.ID, 0, 0).Error(); err != nil {
		p.c.Log.Warn("dead scheduler not removed", "node_id", string(s.ID), "error", err)
		return
	}
	p.c.Log.Info("dead scheduler removed", "node_id", string(s.ID), "voter", voter)
	if voter {
		p.mu.Lock()
		p.removed = p.now()
		p.mu.Unlock()
	}
}
