package pilot

import (
	"slices"
	"strings"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
)

// Healthy reports whether a member was well when it was looked at last.
func (p *Pilot) Healthy(id raft.ServerID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state != nil && p.state.Servers[id] != nil && p.state.Servers[id].Health.Healthy
}

// Tolerates is how many of the healthy voters may fail.
func (p *Pilot) Tolerates() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil {
		return 0
	}
	return p.state.FailureTolerance
}

// Members lists the group as it was when it was looked at last, by id.
func (p *Pilot) Members() []api.RaftMember {
	servers, err := p.configuration()
	if err != nil {
		return []api.RaftMember{}
	}
	alive := map[raft.ServerID]rumor.Member{}
	for _, m := range p.c.Gossip.Members() {
		alive[raft.ServerID(m.Node)] = m
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]api.RaftMember, 0, len(servers))
	for _, s := range servers {
		list = append(list, p.member(s, alive[s.ID]))
	}
	slices.SortFunc(list, func(a, b api.RaftMember) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return list
}

// member is one of Members; the caller holds p.mu.
func (p *Pilot) member(s raft.Server, m rumor.Member) api.RaftMember {
	r := api.RaftMember{
		Node: api.NodeID(s.ID), Name: api.SchedulerName(api.NodeID(s.ID)), Address: string(s.Address), URL: m.URL, Voter: s.Suffrage == raft.Voter,
		LastContactMs: -1, Version: m.Version, Level: m.Level,
	}
	var st *autopilot.ServerState
	if p.state != nil {
		st = p.state.Servers[s.ID]
	}
	if st == nil {
		return r
	}
	r.Healthy = st.Health.Healthy
	r.Since = p.c.Clock.Wall().Add(-p.now().Sub(p.health[s.ID].since)).UTC()
	if st.Stats.LastContact < 0 {
		return r
	}
	told := p.told[s.ID]
	r.Role, r.LastContactMs = "follower", told.LastContactMs
	if s.ID == raft.ServerID(p.c.Self) {
		r.Role = "leader"
	}
	r.LastIndex, r.Applied, r.Behind = told.LastIndex, told.Applied, told.Behind
	return r
}
