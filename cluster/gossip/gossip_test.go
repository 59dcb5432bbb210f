package gossip

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
)

func testConfig(node api.NodeID, join ...string) Config {
	return Config{
		Node: node, ClusterID: "g-test", Bind: "127.0.0.1:0", Key: bytes.Repeat([]byte{7}, 32), Join: join,
		Meta:  rumor.Meta{Node: node, URL: "https://" + string(node), RaftAddr: "127.0.0.1:1", Expect: 3, Version: "1"},
		Table: rumor.NewTable(node, time.Now), Interval: 100 * time.Millisecond, Log: hclog.NewNullLogger(),
	}
}

func open(t *testing.T, c Config) *Gossip {
	t.Helper()
	g, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(20 * time.Second)
	defer end.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// have reports whether one line has all of the words.
func (l *lines) have(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), word)
}

// alive prints the members that live: "s1 s2".
func alive(g *Gossip) string {
	var names []string
	for _, m := range g.Members() {
		if m.Alive {
			names = append(names, string(m.Node))
		}
	}
	return strings.Join(names, " ")
}

func TestSchedulersFindEachOther(t *testing.T) {
	s1 := open(t, testConfig("s1"))
	if got := s1.Members(); len(got) != 1 || got[0].URL != "https://s1" || !got[0].Alive {
		t.Fatalf("alone: %+v", got)
	}
	s2 := open(t, testConfig("s2", s1.Addr()))
	s3 := open(t, testConfig("s3", "127.0.0.1:1", s1.Addr())) // one of the addresses is dead
	for _, g := range []*Gossip{s1, s2, s3} {
		eventually(t, "all three see all three", func() bool { return alive(g) == "s1 s2 s3" })
	}

	changed := s3.Changed()
	s1.SetMeta(rumor.Meta{URL: "https://elsewhere", HasState: true})
	if got := s1.Members()[0]; got.URL != "https://elsewhere" || got.Node != "s1" {
		t.Errorf("own meta: %+v", got)
	}
	eventually(t, "s3 hears of the new meta", func() bool { return s3.Members()[0].HasState })
	select {
	case <-changed:
	default:
		t.Error("a change of the members woke nobody")
	}
	s1.SetMeta(rumor.Meta{URL: strings.Repeat("x", 600)})
	if got := s1.Members()[0]; got.URL != "https://elsewhere" {
		t.Error("a meta that cannot be told was taken")
	}

	s2.c.Table.SessionOpened("c1", 4)
	stamp := api.Stamp{BootID: "b", BootTime: 3}
	s2.c.Table.Heartbeat("c1", 4, api.Heartbeat{Seq: 3, Stamp: stamp}, 3*time.Second)
	eventually(t, "s1 sees the cell of s2", func() bool {
		got, ok := s1.c.Table.Best("c1", 4)
		return ok && got.Holder == "s2" && got.Stamp == stamp && got.Age < 10*time.Second
	})

	began := time.Now()
	kill(s2)
	eventually(t, "s2 is dead to s1", func() bool { return alive(s1) == "s1 s3" })
	t.Logf("seen as dead after %v", time.Since(began))
	if got, ok := s1.c.Table.Best("c1", 4); !ok || got.Session || got.SessionAge == rumor.Never {
		t.Errorf("the cell of a dead scheduler: %+v", got)
	}
	if got := s1.Members(); len(got) != 3 || got[1].Alive || got[1].URL != "https://s2" {
		t.Errorf("a dead member is remembered with its meta: %+v", got)
	}

	again := open(t, testConfig("s2", s3.Addr())) // on another port
	eventually(t, "s2 is back", func() bool { return alive(s1) == "s1 s2 s3" && alive(again) == "s1 s2 s3" })
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "s2 said good-bye", func() bool { return alive(s1) == "s1 s3" })
}

// kill ends a scheduler without a word to the others.
func kill(g *Gossip) {
	g.once.Do(func() {
		g.stop()
		g.end = g.list.Shutdown()
		g.wg.Wait()
	})
}

// TestStrangersAreRefused: another cluster, another key, a member that is no scheduler.
func TestStrangersAreRefused(t *testing.T) {
	var told lines
	first := testConfig("s1")
	first.Log = hclog.New(&hclog.LoggerOptions{Output: &told})
	s1 := open(t, first)
	cluster := testConfig("s2", s1.Addr())
	cluster.ClusterID = "g-other"
	key := testConfig("s3", s1.Addr())
	key.Key = bytes.Repeat([]byte{8}, 32)
	for cause, c := range map[string]Config{"another cluster": cluster, "another gossip key": key} {
		var says lines
		c.Log = hclog.New(&hclog.LoggerOptions{Output: &says})
		g := open(t, c)
		if _, err := g.list.Join([]string{s1.Addr()}); err == nil {
			t.Errorf("%s joined", c.Node)
		}
		eventually(t, "it says who refuses it, and why", func() bool { return says.have("refused as a member: by="+s1.Addr(), cause) })
		eventually(t, "the other says whom it refuses, and why", func() bool { return told.have("gossip dropped", "from=127.0.0.1", cause) })
		if n := says.count("refused as a member"); n != 1 {
			t.Errorf("it says so %d times", n)
		}
	}
	mc := memberlist.DefaultLocalConfig()
	mc.Name, mc.BindAddr, mc.BindPort, mc.AdvertiseAddr = "s4", "127.0.0.1", 0, "127.0.0.1"
	mc.Label, mc.SecretKey, mc.LogOutput = "g-test", bytes.Repeat([]byte{7}, 32), demoted{log: hclog.NewNullLogger(), drops: &Drops{}}
	list, err := memberlist.Create(mc)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Shutdown() //nolint:errcheck // the test is over
	if _, err := list.Join([]string{s1.Addr()}); err == nil {
		eventually(t, "it is tried", func() bool { return list.NumMembers() > 1 })
	}
	if got := s1.Members(); len(got) != 1 {
		t.Errorf("strangers are members: %+v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	taken := open(t, testConfig("s1"))
	for name, spoil := range map[string]func(*Config){
		"a short key":       func(c *Config) { c.Key = c.Key[:16] },
		"no cluster":        func(c *Config) { c.ClusterID = "" },
		"a bad name":        func(c *Config) { c.Node = "S 1" },
		"another's meta":    func(c *Config) { c.Meta.Node = "s9" },
		"another's table":   func(c *Config) { c.Table = rumor.NewTable("s9", time.Now) },
		"a large meta":      func(c *Config) { c.Meta.URL = strings.Repeat("x", 600) },
		"no port":           func(c *Config) { c.Bind = "127.0.0.1" },
		"a port that isn't": func(c *Config) { c.Bind = "127.0.0.1:99999" },
		"a taken port":      func(c *Config) { c.Bind = taken.Addr() },
		"a bad advertise":   func(c *Config) { c.Advertise = "nowhere" },
	} {
		c := testConfig("s2")
		spoil(&c)
		if g, err := Open(t.Context(), c); err == nil {
			t.Errorf("%s was taken", name)
			g.Close() //nolint:errcheck // failed already
		}
	}
}

// TestMetaBound: what this package promises its callers is what memberlist carries.
func TestMetaBound(t *testing.T) {
	if rumor.MaxMeta != memberlist.MetaMaxSize {
		t.Errorf("a meta has at most %d bytes, memberlist carries %d", rumor.MaxMeta, memberlist.MetaMaxSize)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var all []*Gossip
	for i := range 2 {
		c := testConfig(api.NodeID(fmt.Sprintf("s%d", i)), "127.0.0.1:1")
		if i > 0 {
			c.Join = append(c.Join, all[0].Addr())
		}
		g, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	eventually(t, "both see both", func() bool { return alive(all[0]) == "s0 s1" })
	for _, g := range all {
		for range 2 {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestLogsAreDemoted(t *testing.T) {
	var out bytes.Buffer
	log := hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Trace, DisableTime: true})
	for line, want := range map[string]string{
		"2026/11/25 15:00:00 [ERR] memberlist: Push/Pull with s2 failed: x\n": "[WARN]  memberlist: text=\"Push/Pull with s2 failed: x\"\n",
		"2026/11/25 15:00:00 [WARN] memberlist: refuting\n":                   "[DEBUG] memberlist: text=refuting\n",
		"2026/11/25 15:00:00 [DEBUG] memberlist: stream\n":                    "[TRACE] memberlist: text=stream\n",
		"odd": "[DEBUG] memberlist: text=odd\n",
	} {
		out.Reset()
		if n, err := (demoted{log: log, drops: &Drops{}}).Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	}
}
