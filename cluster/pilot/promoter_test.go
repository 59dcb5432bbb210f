package pilot

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
)

// still stands still.
type still struct{ now time.Time }

func (c still) Now() time.Time  { return c.now }
func (c still) Wall() time.Time { return c.now }

// quiet is gossip in which nothing happens: who is there, and how many voters each wants.
type quiet map[api.NodeID]int

func (q quiet) Members() (list []rumor.Member) {
	for id, expect := range q {
		list = append(list, rumor.Member{Meta: rumor.Meta{Node: id, Expect: expect}, Alive: true})
	}
	return list
}

func (quiet) Changed() <-chan struct{} { return nil }

const stable = 10 * time.Second

// group makes a pilot that wants three voters, and the state of a group from words such as
// "voter:well:20s", whose behind is 0.
func group(t *testing.T, words string) (*Pilot, *autopilot.State) {
	t.Helper()
	now := time.Unix(1e9, 0)
	there := quiet{}
	p := New(Config{Gossip: there, Voters: 3, Stable: stable, Clock: still{now}, Log: hclog.NewNullLogger()})
	s := &autopilot.State{Servers: map[raft.ServerID]*autopilot.ServerState{}}
	for i, w := range strings.Fields(words) {
		parts := strings.Split(w, ":")
		since, err := time.ParseDuration(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		id := raft.ServerID(rune('a' + i))
		// What autopilot says of since when is not looked at.
		m := &autopilot.ServerState{
			State:  autopilot.RaftState(parts[0]),
			Health: autopilot.ServerHealth{Healthy: parts[1] == "well", StableSince: now.Add(-time.Hour)},
		}
		p.health[id] = health{m.Health.Healthy, now.Add(-since)}
		m.Server.ID = id
		there[api.NodeID(id)] = 3
		s.Servers[id] = m
		p.note(id, api.MemberState{})
	}
	return p, s
}

func TestPromotions(t *testing.T) {
	tests := []struct {
		name, group string
		behind      raft.ServerID
		want        string
	}{
		{"enough voters", "leader:well:1m voter:well:1m voter:well:1m non-voter:well:1m", "", ""},
		{"a voter is missing", "leader:well:1m voter:well:1m non-voter:well:1m", "", "c"},
		{"a voter is dead", "leader:well:1m voter:well:1m voter:dead:1s non-voter:well:1m", "", "d"},
		{"one at a time, the steadiest", "leader:well:1m non-voter:well:20s non-voter:well:30s", "", "c"},
		{"not stable yet", "leader:well:1m voter:well:1m non-voter:well:9s", "", ""},
		{"not well", "leader:well:1m voter:well:1m non-voter:dead:1m", "", ""},
		{"it misses a blob", "leader:well:1m voter:well:1m non-voter:well:1m", "c", ""},
		// A new leader has seen nobody for long: it does not take them for stable.
		{"a new leader", "leader:well:0s voter:well:0s non-voter:well:0s", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, s := group(t, tt.group)
			if tt.behind != "" {
				p.note(tt.behind, api.MemberState{Behind: 1})
			}
			changes := promoter{p}.CalculatePromotionsAndDemotions(p.AutopilotConfig(), s)
			if got := ids(changes.Promotions); got != tt.want || len(changes.Demotions) > 0 || changes.Leader != "" {
				t.Errorf("got %+v, want %q", changes, tt.want)
			}
		})
	}
	p, s := group(t, "leader:well:1m non-voter:well:1m")
	delete(p.told, "b")
	if got := (promoter{p}).CalculatePromotionsAndDemotions(p.AutopilotConfig(), s).Promotions; len(got) > 0 {
		t.Error("promoted one that never said what it misses")
	}
}

// TestDemotesOnlyTogether: who leads with other settings than the others takes nobody's vote.
func TestDemotesOnlyTogether(t *testing.T) {
	p, s := group(t, "leader:well:1m voter:well:1m voter:well:1m")
	p.c.Voters = 1
	if got := (promoter{p}).CalculatePromotionsAndDemotions(p.AutopilotConfig(), s).Demotions; len(got) > 0 {
		t.Errorf("one scheduler wants one voter: %v demoted", got)
	}
	p.c.Gossip = quiet{"a": 1, "b": 1, "c": 1}
	if got := (promoter{p}).CalculatePromotionsAndDemotions(p.AutopilotConfig(), s).Demotions; len(got) != 1 {
		t.Errorf("all want one voter: %v demoted", got)
	}
}

// TestSteadiest: who came at the same moment is told apart by name, though the clock goes on
// between two looks at it.
func TestSteadiest(t *testing.T) {
	p, s := group(t, "leader:well:1m voter:well:20s voter:well:20s voter:well:30s")
	p.c.Clock = &ticking{now: p.now()}
	var list []*autopilot.ServerState
	for _, id := range []raft.ServerID{"c", "b", "d"} {
		list = append(list, s.Servers[id])
	}
	if got, want := p.steadiest(list), []raft.ServerID{"d", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// ticking goes on whenever somebody looks.
type ticking struct{ now time.Time }

func (c *ticking) Now() time.Time {
	c.now = c.now.Add(time.Nanosecond)
	return c.now
}
func (c *ticking) Wall() time.Time { return c.now }

// TestSince: since when a member is well, or not, is when that was seen to change.
func TestSince(t *testing.T) {
	c := &moving{now: time.Unix(1e9, 0)}
	p := New(Config{Gossip: quiet{}, Voters: 3, Stable: stable, Clock: c, Log: hclog.NewNullLogger()})
	m := &autopilot.ServerState{Server: autopilot.Server{ID: "a"}, Health: autopilot.ServerHealth{Healthy: true}}
	see := func(well bool, want time.Duration) {
		t.Helper()
		m.Health.Healthy = well
		p.NotifyState(&autopilot.State{Servers: map[raft.ServerID]*autopilot.ServerState{"a": m}})
		if got := p.lasting(m); got != want {
			t.Errorf("%t for %s, want %s", well, got, want)
		}
	}
	see(true, 0)
	c.now = c.now.Add(stable)
	see(true, stable)
	if !p.stable(m) {
		t.Error("not stable")
	}
	see(false, 0)
	c.now = c.now.Add(time.Second)
	see(false, time.Second)
	see(true, 0)
	if p.stable(m) {
		t.Error("stable, though it was not well just now")
	}
	m.Health.Healthy = false // newer than what was observed
	if got := p.lasting(m); got != 0 {
		t.Errorf("not well for %s", got)
	}
}

// moving is a clock that a test moves.
type moving struct{ now time.Time }

func (c *moving) Now() time.Time  { return c.now }
func (c *moving) Wall() time.Time { return c.now }

func TestDemotions(t *testing.T) {
	tests := []struct{ name, group, want string }{
		{"as many as are wanted", "leader:well:1m voter:well:1m voter:well:20s", ""},
		{"one too many: who came last", "voter:well:1m voter:well:20s leader:well:11s voter:well:40s", "b"},
		{"came together: the last by name", "leader:well:1m voter:well:20s voter:well:20s voter:well:20s", "d"},
		{"not the leader", "voter:well:1m voter:well:2m leader:well:11s voter:well:3m", "a"},
		{"two too many: one at a time", "leader:well:1m voter:well:50s voter:well:40s voter:well:30s voter:well:20s", "e"},
		{"not stable yet", "leader:well:1m voter:well:1m voter:well:1m voter:well:9s", ""},
		{"a dead one is removed, not demoted", "leader:well:1m voter:well:1m voter:well:1m voter:dead:1m", ""},
		{"a spare is none too many", "leader:well:1m voter:well:1m voter:well:1m non-voter:well:1m", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, s := group(t, tt.group)
			changes := promoter{p}.CalculatePromotionsAndDemotions(p.AutopilotConfig(), s)
			if got := ids(changes.Demotions); got != tt.want || len(changes.Promotions) > 0 || changes.Leader != "" {
				t.Errorf("got %+v, want %q demoted", changes, tt.want)
			}
		})
	}
}

func ids(list []raft.ServerID) string {
	var names []string
	for _, id := range list {
		names = append(names, string(id))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestRemovals(t *testing.T) {
	tests := []struct {
		name, group string
		removed     time.Duration // how long ago the last removal was; 0 is never
		want        string
	}{
		{"nobody stands in", "leader:well:1m voter:well:1m voter:dead:1m", 0, ""},
		{"a spare does not stand in", "leader:well:1m voter:well:1m voter:dead:1m non-voter:well:1m", 0, ""},
		{"another voter stands in", "leader:well:1m voter:well:1m voter:dead:1m voter:well:1s", 0, "c"},
		{"not dead for long", "leader:well:1m voter:well:1m voter:dead:9s voter:well:1m", 0, ""},
		{"one at a time", "leader:well:1m voter:well:1m voter:well:1m voter:dead:1m voter:dead:1m", 0, "d"},
		{"not soon after another", "leader:well:1m voter:well:1m voter:well:1m voter:dead:1m", stable - 1, ""},
		{"later", "leader:well:1m voter:well:1m voter:well:1m voter:dead:1m", stable, "d"},
		{"a spare", "leader:well:1m voter:well:1m voter:well:1m non-voter:dead:59s", 0, ""},
		{"a spare, later", "leader:well:1m voter:well:1m voter:well:1m non-voter:dead:60s", 0, "d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, s := group(t, tt.group)
			if tt.removed > 0 {
				p.removed = p.now().Add(-tt.removed)
			}
			var failed autopilot.FailedServers
			for _, id := range []raft.ServerID{"a", "b", "c", "d", "e"} {
				m := s.Servers[id]
				switch {
				case m == nil || m.Health.Healthy:
				case m.HasVotingRights():
					failed.FailedVoters = append(failed.FailedVoters, &m.Server)
				default:
					failed.FailedNonVoters = append(failed.FailedNonVoters, &m.Server)
				}
			}
			got := promoter{p}.FilterFailedServerRemovals(p.AutopilotConfig(), s, &failed)
			var list []raft.ServerID
			for _, m := range slices.Concat(got.FailedVoters, got.FailedNonVoters) {
				list = append(list, m.ID)
			}
			if ids(list) != tt.want || len(got.StaleVoters)+len(got.StaleNonVoters) > 0 {
				t.Errorf("got %q, want %q", ids(list), tt.want)
			}
		})
	}
}

// TestCheck: what gossip says of a scheduler must be what it says itself.
func TestCheck(t *testing.T) {
	p := New(Config{ClusterID: "g-1", Level: func() uint32 { return 2 }, Own: func() api.MemberState { return api.MemberState{Epoch: 2} }, Raft: nobody{}, Gossip: quiet{}, Stable: stable, Clock: still{}, Log: hclog.NewNullLogger()})
	m := rumor.Member{Meta: rumor.Meta{Node: "s4", RaftAddr: "10.0.0.4:7491", Asks: true}, Alive: true}
	good := api.MemberState{Node: "s4", ClusterID: "g-1", RaftAddr: "10.0.0.4:7491", Asks: true, Level: 2}
	if err := p.check(m, &good, false); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*rumor.Member, *api.MemberState){
		"another cluster":   func(_ *rumor.Member, st *api.MemberState) { st.ClusterID = "g-2" },
		"another node":      func(_ *rumor.Member, st *api.MemberState) { st.Node = "s5" },
		"another address":   func(_ *rumor.Member, st *api.MemberState) { st.RaftAddr = "10.0.0.5:7491" },
		"of another epoch":  func(_ *rumor.Member, st *api.MemberState) { st.LastIndex, st.Epoch = 9, 1 },
		"of an old release": func(_ *rumor.Member, st *api.MemberState) { st.Level = 1 },
		"it does not ask":   func(_ *rumor.Member, st *api.MemberState) { st.Asks = false },
		"no port":           func(m *rumor.Member, st *api.MemberState) { m.RaftAddr, st.RaftAddr = "10.0.0.4:0", "10.0.0.4:0" },
	} {
		m, st := m, good
		spoil(&m, &st)
		if p.check(m, &st, false) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// nobody is a group without members.
type nobody struct{ autopilot.Raft }

func (nobody) GetConfiguration() raft.ConfigurationFuture { return noConfiguration{} }

type noConfiguration struct{ raft.ConfigurationFuture }

func (noConfiguration) Error() error                      { return nil }
func (noConfiguration) Configuration() raft.Configuration { return raft.Configuration{} }

// TestSilentMember: whoever does not answer is not well, whatever it said before.
func TestSilentMember(t *testing.T) {
	p, _ := group(t, "leader:well:1m")
	p.c.Gossip = quiet{}
	stats := p.FetchServerStats(context.Background(), map[raft.ServerID]*autopilot.Server{"a": {}})
	if s := stats["a"]; s == nil || s.LastContact >= 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestKnownLevel(t *testing.T) {
	p, _ := group(t, "leader:well:1m voter:well:1m non-voter:well:1m")
	servers := []raft.Server{{ID: "a"}, {ID: "b"}, {ID: "c", Suffrage: raft.Nonvoter}}
	for id, level := range map[raft.ServerID]uint32{"a": 3, "b": 2, "c": 3} {
		p.note(id, api.MemberState{Level: level})
	}
	if got := p.known(servers); got != 2 {
		t.Errorf("level %d, want that of the oldest", got)
	}
	p.note("b", api.MemberState{Level: 3})
	p.note("c", api.MemberState{Level: 1})
	if got := p.known(servers); got != 1 {
		t.Errorf("level %d, want that of the one without a vote", got)
	}
	delete(p.told, "c") // it does not answer
	if got := p.known(servers); got != 0 {
		t.Errorf("level %d with one that has not said", got)
	}
	if got := p.known(nil); got != 0 {
		t.Errorf("level %d of nobody", got)
	}
}
