package server

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
)

// suiteOf is what a client hears of a suite; it leaves after some checks where leave is not 0.
func suiteOf(t *testing.T, c *client.Client, leave int) (checks int, report *api.ConformanceReport, err error) {
	t.Helper()
	for step, err := range c.ConformCell(t.Context(), "aws", "c1", api.WriteOptions{Reason: "why"}) {
		if err != nil {
			return checks, report, err
		}
		if report = step.Report; step.Check != nil {
			checks++
		}
		if checks == leave {
			break
		}
	}
	return checks, report, nil
}

// TestConformanceStream: a suite's checks come one by one, at the leader and through another scheduler; who
// leaves ends it at the leader; refusals come as they are; a suite whose leader is lost has no result.
func TestConformanceStream(t *testing.T) {
	for name, forwarded := range map[string]bool{"at the leader": false, "through a follower": true} {
		t.Run(name, func(t *testing.T) {
			leader := start(t, nil)
			at := leader
			if forwarded {
				at = follower(t, leader)
			}
			c := dial(t, api.RoleOperator, at)
			checks, report, err := suiteOf(t, c, 0)
			if diff := cmp.Diff(filled[api.ConformanceReport](), *report); checks != 2 || err != nil || diff != "" {
				t.Errorf("%d checks, %v, %s", checks, err, diff)
			}
			if asked := leader.fake.last(); asked.Caller.Role != api.RoleOperator || asked.Args[0] != api.ProviderID("aws") || asked.Args[1] != api.CellID("c1") {
				t.Errorf("asked with %+v", asked)
			}

			leader.fake.hold = true // now they come, and nothing behind them: they are not kept back
			if checks, _, err := suiteOf(t, c, 2); checks != 2 || err != nil {
				t.Errorf("%d checks of a suite that goes on: %v", checks, err)
			}
			for end := time.Now().Add(5 * time.Second); leader.fake.count("ConformCell ended") == 0; {
				if time.Now().After(end) {
					t.Fatal("nobody told the leader that its client left")
				}
				time.Sleep(time.Millisecond)
			}

			leader.fake.err = api.Refuse(api.Conflict, "one runs already")
			if _, _, err := suiteOf(t, c, 0); api.KindOf(err) != api.Conflict {
				t.Errorf("a refusal: %v", err)
			}
			if _, _, err := suiteOf(t, dial(t, api.RoleTenant, at), 0); api.KindOf(err) != api.Forbidden {
				t.Errorf("a tenant: %v", err)
			}
		})
	}
}

// TestConformanceLeaderLost: half a suite is not taken for a whole one.
func TestConformanceLeaderLost(t *testing.T) {
	leader := start(t, nil)
	c := dial(t, api.RoleOperator, follower(t, leader))
	leader.fake.hold = true
	heard := 0
	for _, err := range c.ConformCell(t.Context(), "aws", "c1", api.WriteOptions{}) {
		if err != nil {
			if api.KindOf(err) != api.OutcomeUnknown {
				t.Errorf("it ends with %v", err)
			}
			return
		}
		if heard++; heard == 2 {
			_ = leader.server.Close()
		}
	}
	t.Error("it ends without an error")
}

// TestMarks: both marks are carried as they were made.
func TestMarks(t *testing.T) {
	n := start(t, nil)
	c, o := dial(t, api.RoleOperator, n), api.WriteOptions{IdempotencyKey: "k", Reason: "live"}
	if got, err := c.MarkProvider(t.Context(), "aws", api.MarkRequest{Production: true}, o); err != nil || !cmp.Equal(filled[api.ProviderStatus](), *got) {
		t.Errorf("%+v, %v", got, err)
	}
	if diff := cmp.Diff([]any{api.ProviderID("aws"), api.MarkRequest{Production: true}, o}, n.fake.last().Args); diff != "" {
		t.Error(diff)
	}
	if got, err := c.MarkCell(t.Context(), "c1", api.MarkRequest{}, o); err != nil || !cmp.Equal(filled[api.CellAnswer](), *got) {
		t.Errorf("%+v, %v", got, err)
	}
	if diff := cmp.Diff([]any{api.CellID("c1"), api.MarkRequest{}, o}, n.fake.last().Args); diff != "" {
		t.Error(diff)
	}
}

// TestMarkNeedsItsBody: a body that was lost on the way does not take a mark away.
func TestMarkNeedsItsBody(t *testing.T) {
	n := start(t, nil)
	for _, path := range []string{"/providers/aws:mark", "/cells/c1:mark"} {
		for _, body := range []string{"", "{}"} {
			if _, p := ask(t, raw(t, api.RoleOperator), "POST", n.url+"/api/v1"+path, []byte(body)); p.Kind != api.InvalidArgument {
				t.Errorf("%s with %q: %+v", path, body, p)
			}
		}
	}
	if len(n.fake.calls) != 0 {
		t.Errorf("a service was asked: %v", n.fake.calls)
	}
}

// TestPlainWritesReadTheirQuery: whoever asks for a dry run never gets a real one, in whatever way it is said.
func TestPlainWritesReadTheirQuery(t *testing.T) {
	n := start(t, nil)
	for _, path := range []string{"/providers/aws/cells/c1:conformance", "/operator/snapshot:restore"} {
		for query, want := range map[string]string{
			"": "real", "dry_run=false": "real", "dry_run=0": "real", "dry_run=true": "dry", "dry_run=1": "dry", "dry_run=TRUE": "dry",
			"dry_run=yes": "refused", "dry_run=tru": "refused", "reason=" + strings.Repeat("x", maxReason+1): "refused",
		} {
			n.fake.mu.Lock()
			n.fake.calls = nil
			n.fake.mu.Unlock()
			_, p := ask(t, raw(t, api.RoleOperator), "POST", n.url+"/api/v1"+path+"?"+query, []byte("state"))
			got := "refused"
			if n.fake.count("ConformCell")+n.fake.count("RestoreSnapshot") > 0 {
				args := n.fake.last().Args
				if o, ok := args[len(args)-1].(api.WriteOptions); ok && !o.DryRun {
					got = "real"
				} else if ok {
					got = "dry"
				}
			}
			if got != want || want == "refused" && p.Kind != api.InvalidArgument {
				t.Errorf("%s?%.20s: it is %s, not %s: %+v", path, query, got, want, p)
			}
		}
	}
}
