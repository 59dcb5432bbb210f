package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
)

func TestFounders(t *testing.T) {
	member := func(node string, expect int, alive, hasState bool) rumor.Member {
		return rumor.Member{Meta: rumor.Meta{Node: api.NodeID(node), RaftAddr: node + ":7491", Expect: expect, HasState: hasState}, Alive: alive}
	}
	a, b, c := member("s1", 3, true, false), member("s2", 3, true, false), member("s3", 3, true, false)
	tests := []struct {
		name    string
		members []rumor.Member
		expect  int
		form    string // the founders, or
		why     string // a part of the reason
	}{
		{"all there", []rumor.Member{c, a, b}, 3, "s1 s2 s3", ""},
		{"alone by itself", []rumor.Member{member("s1", 1, true, false)}, 1, "s1", ""},
		{"too few", []rumor.Member{a, b}, 3, "", "2 of 3"},
		{"too many", []rumor.Member{a, b, c, member("s4", 3, true, false)}, 3, "", "4 schedulers"},
		{"one is dead", []rumor.Member{a, b, member("s3", 3, false, false)}, 3, "", "2 of 3"},
		{"a dead one more", []rumor.Member{a, b, c, member("s4", 3, false, false)}, 3, "s1 s2 s3", ""},
		{"one has data", []rumor.Member{a, b, member("s3", 3, true, true)}, 3, "", "s3 belongs to a cluster"},
		{"a dead one has data", []rumor.Member{a, b, c, member("s4", 3, false, true)}, 3, "", "s4 belongs to a cluster"},
		{"one expects others", []rumor.Member{a, b, member("s3", 5, true, false)}, 3, "", "s3 expects"},
		{"this one had data", []rumor.Member{member("s1", 3, true, true), b, c}, 3, "", "it had data"},
		{"nobody", nil, 3, "", "0 of 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			servers, why := founders(tt.members, "s1", tt.expect)
			var form []string
			for _, s := range servers {
				form = append(form, string(s.ID))
				if s.Suffrage != raft.Voter || s.Address != raft.ServerAddress(string(s.ID)+":7491") {
					t.Errorf("got %+v", s)
				}
			}
			if got := strings.Join(form, " "); got != tt.form || !strings.Contains(why, tt.why) || (why == "") != (tt.why == "") {
				t.Errorf("got %q, because %q", got, why)
			}
		})
	}
}

func TestClaimDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "s1")
	id, err := ClaimDir(dir, "g-1", "s1")
	if err != nil || !strings.HasPrefix(string(id), "s1-") || api.CheckName("id", string(id)) != nil {
		t.Fatalf("got %q, %v", id, err)
	}
	if again, err := ClaimDir(dir, "g-1", "s1"); err != nil || again != id {
		t.Errorf("again: %q, %v", again, err)
	}
	if lost, err := ClaimDir(t.TempDir(), "g-1", "s1"); err != nil || lost == id {
		t.Errorf("a directory that was lost: %q, %v", lost, err)
	}
	broken := func(content string) string {
		d := t.TempDir()
		if err := os.WriteFile(filepath.Join(d, "node.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return d
	}
	tests := []struct {
		name, dir, cluster, node string
		kind                     api.Kind
	}{
		{"another cluster", dir, "g-2", "s1", api.Conflict},
		{"another scheduler", dir, "g-1", "s2", api.Conflict},
		{"no name", dir, "g-1", "s/1", api.InvalidArgument},
		{"torn", broken(`{"version":1,`), "g-1", "s1", api.Conflict},
		{"newer", broken(`{"version":2,"cluster_id":"g-1","name":"s1","node_id":"s1-x"}`), "g-1", "s1", api.Conflict},
		{"empty", broken(""), "g-1", "s1", api.Conflict},
	}
	for _, tt := range tests {
		if _, err := ClaimDir(tt.dir, tt.cluster, tt.node); kindOf(err) != tt.kind {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.kind)
		}
	}
	if _, err := ClaimDir(filepath.Join(broken("x"), "node.json"), "g-1", "s1"); err == nil {
		t.Error("a file is taken for a directory")
	}
}

func TestValidate(t *testing.T) {
	good := Config{Node: "s1", Expect: 3}.withDefaults()
	tests := []struct {
		name   string
		change func(c *Config)
		bad    bool
	}{
		{"good", func(*Config) {}, false},
		{"alone", func(c *Config) { c.Expect = 1 }, false},
		{"two", func(c *Config) { c.Expect = 2 }, true},
		{"none", func(c *Config) { c.Expect = 0 }, true},
		{"no name", func(c *Config) { c.Node = "" }, true},
		{"lease over heartbeat", func(c *Config) { c.Lease = c.Heartbeat + 1 }, true},
		{"election under heartbeat", func(c *Config) { c.Election = c.Heartbeat - 1 }, true},
		{"patient", func(c *Config) { c.Heartbeat, c.Election, c.Lease = time.Second, time.Second, 750*time.Millisecond }, false},
		{"the shortest", func(c *Config) {
			c.Heartbeat, c.Election, c.Lease = 300*time.Millisecond, 300*time.Millisecond, 250*time.Millisecond
		}, false},
		{"too short a heartbeat", func(c *Config) { c.Heartbeat = 299 * time.Millisecond }, true},
		{"too short a lease", func(c *Config) { c.Lease = 249 * time.Millisecond }, true},
	}
	for _, tt := range tests {
		c := good
		tt.change(&c)
		if err := c.Validate(); (kindOf(err) == api.InvalidArgument) != tt.bad {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestProposeError: an entry that was surely not taken may be proposed again at once; of any
// other the outcome is unknown.
func TestProposeError(t *testing.T) {
	for err, want := range map[error]api.Kind{
		raft.ErrNotLeader:                    api.NoLeader,
		raft.ErrEnqueueTimeout:               api.NoLeader,
		raft.ErrLeadershipTransferInProgress: api.NoLeader,
		raft.ErrLeadershipLost:               api.OutcomeUnknown,
		raft.ErrRaftShutdown:                 api.OutcomeUnknown,
		raft.ErrAbortedByRestore:             api.OutcomeUnknown,
		context.Canceled:                     api.OutcomeUnknown,
		context.DeadlineExceeded:             api.OutcomeUnknown,
		errSink:                              api.OutcomeUnknown,
	} {
		if got := proposeError(err).Kind; got != want {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
	}
}

// TestBatcher: whoever comes while a round runs gets the next one, never that one.
func TestBatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var round uint64
		var calls tasks
		next := make(chan error)
		b := newBatcher(func() (uint64, error) {
			round++
			return round, <-next
		}, calls.start)
		type result struct {
			index uint64
			err   error
		}
		ask := func(n int) chan result {
			out := make(chan result, n)
			for range n {
				go func() {
					i, err := b.do(t.Context())
					out <- result{i, err}
				}()
			}
			synctest.Wait()
			return out
		}
		first := ask(1)
		second := ask(100)
		next <- nil
		if r := <-first; r.index != 1 || r.err != nil {
			t.Errorf("got %+v", r)
		}
		next <- errSink
		for range 100 {
			if r := <-second; r.index != 2 || !errors.Is(r.err, errSink) {
				t.Fatalf("got %+v", r)
			}
		}
		third := ask(1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.do(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		next <- nil
		<-third
		next <- nil // of the one that gave up
		calls.close()
		if _, err := b.do(t.Context()); kindOf(err) != api.NoLeader {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k tasks
		free, done := make(chan struct{}), false
		if !k.start(func() { <-free; done = true }) {
			t.Fatal("not started")
		}
		closed := make(chan struct{})
		go func() {
			k.close()
			close(closed)
		}()
		synctest.Wait()
		if k.start(func() {}) {
			t.Error("started after the end")
		}
		close(free)
		<-closed
		if !done {
			t.Error("not waited for")
		}
	})
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p progress
		var wg sync.WaitGroup
		reached := make([]error, 4)
		for i := range reached {
			wg.Go(func() { reached[i] = p.wait(t.Context(), uint64(i)) })
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		p.reach(2)
		p.reach(1)
		if err := p.wait(ctx, 2); err != nil {
			t.Errorf("fell back: %v", err)
		}
		p.halt()
		p.reach(9)
		wg.Wait()
		for i, err := range reached {
			if (err != nil) != (i > 2) {
				t.Errorf("index %d: %v", i, err)
			}
		}
	})
}

// TestLeadership wakes everybody at every change.
func TestLeadership(t *testing.T) {
	l := newLeadership(clock.System(), time.Second)
	for _, change := range []func(){l.bump, func() { l.setGate(true) }, func() { l.setGate(false) }} {
		ch := l.wait()
		change()
		select {
		case <-ch:
		default:
			t.Error("nobody was woken")
		}
	}
	if l.open() {
		t.Error("the gate is open")
	}
}

// TestSlowCall: a proposal does not outlive its context, and one without one is not made.
func TestSlowCall(t *testing.T) {
	n := &Node{machine: &machine{Machine: fsm.New(fsm.Options{Log: hclog.NewNullLogger()})}}
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := n.await(ctx, func() raft.Future { <-release; return done{} })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	_, err = n.Propose(ctx, fsm.Entry{Commands: []fsm.Command{fsm.Tick{}}})
	if kindOf(err) != api.NoLeader {
		t.Errorf("got %v", err)
	}
	close(release)
	n.calls.close()
	if err := n.await(t.Context(), func() raft.Future { return done{} }); !errors.Is(err, raft.ErrRaftShutdown) {
		t.Errorf("got %v", err)
	}
}

type done struct{}

func (done) Error() error { return nil }
