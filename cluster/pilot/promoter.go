package pilot

import (
	"slices"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
)

// promoter decides which change the members need next. What it is given is read only.
type promoter struct{ p *Pilot }

// GetServerExt implements autopilot.Promoter.
func (promoter) GetServerExt(*autopilot.Config, *autopilot.ServerState) any { return nil }

// GetStateExt implements autopilot.Promoter.
func (promoter) GetStateExt(*autopilot.Config, *autopilot.State) any { return nil }

// GetNodeTypes implements autopilot.Promoter.
func (promoter) GetNodeTypes(_ *autopilot.Config, s *autopilot.State) map[raft.ServerID]autopilot.NodeType {
	types := make(map[raft.ServerID]autopilot.NodeType, len(s.Servers))
	for id, m := range s.Servers {
		types[id] = spare
		if m.HasVotingRights() {
			types[id] = autopilot.NodeVoter
		}
	}
	return types
}

// IsPotentialVoter implements autopilot.Promoter.
func (promoter) IsPotentialVoter(t autopilot.NodeType) bool { return t == autopilot.NodeVoter }

// CalculatePromotionsAndDemotions implements autopilot.Promoter: one change at a time. Of those
// without a vote the one that has been well the longest gets one when a voter is missing; when
// all voters are well and there is one too many, the one that has been well the shortest
// becomes a spare. The leader stays.
func (pr promoter) CalculatePromotionsAndDemotions(_ *autopilot.Config, s *autopilot.State) autopilot.RaftChanges {
	if healthyVoters(s, "") >= pr.p.c.Voters {
		return autopilot.RaftChanges{Demotions: pr.surplus(s)}
	}
	var ready []*autopilot.ServerState
	for id, m := range s.Servers {
		if m.State == autopilot.RaftNonVoter && pr.p.stable(m) && pr.p.behind(id) == 0 {
			ready = append(ready, m)
		}
	}
	list := pr.p.steadiest(ready)
	return autopilot.RaftChanges{Promotions: list[:min(len(list), 1)]}
}

// surplus is the voter that is one too many, if there is one: a dead voter came back when a
// spare had its place already, or fewer are wanted now. An even number of voters survives no
// more failures than the odd one below it, and every one of them makes each commit dearer.
func (pr promoter) surplus(s *autopilot.State) []raft.ServerID {
	count := 0
	var others []*autopilot.ServerState
	for _, m := range s.Servers {
		if !m.HasVotingRights() {
			continue
		}
		if !pr.p.stable(m) {
			return nil // whoever is dead goes first
		}
		count++
		if m.State != autopilot.RaftLeader {
			others = append(others, m)
		}
	}
	if count <= pr.p.c.Voters || len(others) == 0 || !pr.p.allWant(s) {
		return nil
	}
	list := pr.p.steadiest(others)
	return list[len(list)-1:]
}

// allWant reports whether every voter's settings want as many voters as the leader's: one scheduler
// with other settings than the rest must not take the others' votes when it leads.
func (p *Pilot) allWant(s *autopilot.State) bool {
	wants := map[raft.ServerID]int{}
	for _, m := range p.c.Gossip.Members() {
		wants[raft.ServerID(m.Node)] = m.Expect
	}
	for id, m := range s.Servers {
		if want, known := wants[id]; m.HasVotingRights() && (!known || want != p.c.Voters) && id != raft.ServerID(p.c.Self) {
			return false
		}
	}
	return true
}

// FilterFailedServerRemovals implements autopilot.Promoter: of the members that are dead, at
// most one voter may go, and those without a vote.
func (pr promoter) FilterFailedServerRemovals(c *autopilot.Config, s *autopilot.State, f *autopilot.FailedServers) *autopilot.FailedServers {
	now := pr.p.now()
	dead := func(m *autopilot.Server, since time.Duration) bool {
		st := s.Servers[m.ID]
		return st != nil && !st.Health.Healthy && pr.p.lasting(st) >= since
	}
	voters := slices.DeleteFunc(slices.Clone(f.FailedVoters), func(m *autopilot.Server) bool {
		return !dead(m, c.ServerStabilizationTime) || healthyVoters(s, m.ID) < pr.p.c.Voters
	})
	if len(voters) > 0 && (!pr.p.rested(now) || len(s.Servers) == 0) {
		voters = nil
	}
	return &autopilot.FailedServers{
		FailedVoters: voters[:min(len(voters), 1)],
		FailedNonVoters: slices.DeleteFunc(slices.Clone(f.FailedNonVoters), func(m *autopilot.Server) bool {
			return !dead(m, spareTime*c.ServerStabilizationTime)
		}),
	}
}

// spareTime is for how many times Stable a member without a vote may be away: a spare that is
// being restarted costs nobody anything.
const spareTime = 6

// rested reports whether the last removal of a voter is long enough ago.
func (p *Pilot) rested(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.removed.IsZero() || now.Sub(p.removed) >= p.c.Stable
}

// healthyVoters counts the voters that are well, without one of them.
func healthyVoters(s *autopilot.State, without raft.ServerID) int {
	n := 0
	for id, m := range s.Servers {
		if id != without && m.HasVotingRights() && m.Health.Healthy {
			n++
		}
	}
	return n
}
