package server

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
)

func aLease() api.LeaseRequest {
	return api.LeaseRequest{Provider: "aws", Resources: api.Resources{Mem: 1024}, TTLMs: 60000}
}

// follower starts a node that takes leader for the leader.
func follower(t *testing.T, leader *sched) *sched {
	t.Helper()
	n := start(t, nil)
	n.leader.set(false, leader.url)
	tr := &http.Transport{TLSClientConfig: clientTLS(t, api.RoleScheduler), ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	n.leader.transport = tr
	return n
}

func TestForward(t *testing.T) {
	leader := start(t, nil)
	n := follower(t, leader)
	c := dial(t, api.RoleTenant, n)
	o := api.WriteOptions{IdempotencyKey: "k", Reason: "a b", DryRun: true}
	got, err := c.RequestLeases(t.Context(), aLease(), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(filled[api.GrantSet](), *got); diff != "" {
		t.Error(diff)
	}
	asked := leader.fake.last()
	if diff := cmp.Diff([]any{aLease(), o}, asked.Args); diff != "" {
		t.Error(diff)
	}
	if asked.Caller.Role != api.RoleTenant || asked.Caller.Name != "acme" || asked.Caller.SPKI == "" || asked.Caller.NotAfter.IsZero() {
		t.Errorf("the leader was asked by %+v", asked.Caller)
	}
	if n.fake.count("RequestLeases") != 0 {
		t.Error("the follower decided")
	}
	// Refusals come back as they are.
	leader.fake.err = api.Refuse(api.QuotaExceeded, "too much")
	if _, err := c.RequestLeases(t.Context(), aLease(), o); api.KindOf(err) != api.QuotaExceeded {
		t.Errorf("a refusal of the leader: %v", err)
	}
	// Reads are served where they land, and bad input is not carried any further than it must.
	leader.fake.err = nil
	if _, err := c.ListCells(t.Context(), "", api.ReadOptions{}); err != nil || n.fake.count("ListCells") != 1 {
		t.Errorf("a read: %v, served here %d times", err, n.fake.count("ListCells"))
	}
	// A caller without a certificate is nobody at the leader too.
	if _, err := dial(t, "", n).Bootstrap(t.Context(), api.BootstrapRequest{Token: "t", Provider: "aws", CellID: "aws-1", CSR: "c"}); err != nil {
		t.Error(err)
	}
	if asked := leader.fake.last(); asked.Call != "Bootstrap" || asked.Caller.Role != "" {
		t.Errorf("the leader was asked %s by %+v", asked.Call, asked.Caller)
	}
}

// TestForwardOnce: two followers that take each other for the leader do not play ping-pong.
func TestForwardOnce(t *testing.T) {
	a := start(t, nil)
	b := follower(t, a)
	tr := &http.Transport{TLSClientConfig: clientTLS(t, api.RoleScheduler), ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	a.leader.transport = tr
	a.leader.set(false, b.url)
	header := http.Header{"Grafos-Forwarded": {"s9"}, "Grafos-Caller": {encoded(t, api.Caller{Role: api.RoleTenant, Name: "acme"})}}
	body := []byte(`{"provider":"aws","resources":{"mem":1024},"ttl_ms":60000}`)
	if status, p := ask(t, raw(t, api.RoleScheduler), http.MethodPost, a.url+"/api/v1/leases", body, header); status != 503 || p.Kind != api.NoLeader {
		t.Errorf("forwarded to a follower: %d %+v, want no_leader", status, p)
	}
}

// TestForwardRepeats: the leader dies while it works, and the next one is asked with the
// same key.
func TestForwardRepeats(t *testing.T) {
	first, second := start(t, nil), start(t, nil)
	n := follower(t, first)
	first.fake.hook = func(ctx context.Context, _ string) error {
		n.leader.set(false, second.url)
		go first.kill()
		<-ctx.Done()
		return ctx.Err()
	}
	if _, err := dial(t, api.RoleTenant, n).RequestLeases(t.Context(), aLease(), api.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	sent, again := first.fake.last(), second.fake.last()
	if diff := cmp.Diff(sent.Args, again.Args); diff != "" || sent.Call != "RequestLeases" {
		t.Errorf("the two leaders were asked different things:\n%s", diff)
	}
}

// TestForwardRemoved: the one that led was removed; its answer is not the cluster's.
func TestForwardRemoved(t *testing.T) {
	second := start(t, nil)
	var n *sched
	first := start(t, func(c *Config) {
		c.Standing = func() error {
			n.leader.set(false, second.url)
			return api.Refuse(api.SchedulerRemoved, "it was removed")
		}
	})
	n = follower(t, first)
	if _, err := dial(t, api.RoleTenant, n).RequestLeases(t.Context(), aLease(), api.WriteOptions{}); err != nil || second.fake.count("RequestLeases") != 1 {
		t.Errorf("%v; the next leader was asked %d times", err, second.fake.count("RequestLeases"))
	}
}

// TestForwardStandstill: the leader stands still, and says nothing when another one leads.
func TestForwardStandstill(t *testing.T) {
	first, second := start(t, nil), start(t, nil)
	n := follower(t, first)
	first.fake.hook = func(ctx context.Context, _ string) error {
		n.leader.set(false, second.url)
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := dial(t, api.RoleTenant, n).RequestLeases(ctx, aLease(), api.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.fake.last().Args, second.fake.last().Args); diff != "" {
		t.Errorf("the two leaders were asked different things:\n%s", diff)
	}
	// One that is slow and still leads is waited for.
	n.leader.set(false, first.url)
	began := time.Now()
	first.fake.hook = func(ctx context.Context, _ string) error {
		sleep(ctx, 3*leaderLook)
		return nil
	}
	if _, err := dial(t, api.RoleTenant, n).RequestLeases(ctx, aLease(), api.WriteOptions{}); err != nil || time.Since(began) < 3*leaderLook {
		t.Errorf("a slow leader: %v after %s", err, time.Since(began))
	}
}

// TestForwardPatience: a leader that lost its lead is not the last word; one that still
// leads and does not know is.
func TestForwardPatience(t *testing.T) {
	leader := start(t, nil)
	n := follower(t, leader)
	var asked atomic.Int32
	leader.fake.hook = func(context.Context, string) error {
		if asked.Add(1) < 3 {
			return api.Refuse(api.NoLeader, "leadership moved")
		}
		return nil
	}
	c := raw(t, api.RoleTenant)
	body := []byte(`{"provider":"aws","resources":{"mem":1024},"ttl_ms":60000}`)
	if status, p := ask(t, c, http.MethodPost, n.url+"/api/v1/leases", body); status != 200 || asked.Load() != 3 {
		t.Errorf("%d %+v after %d tries, want 200 after 3", status, p, asked.Load())
	}
	asked.Store(0)
	leader.fake.hook = func(context.Context, string) error {
		asked.Add(1)
		return api.Refuse(api.OutcomeUnknown, "the cell did not answer")
	}
	if status, p := ask(t, c, http.MethodPost, n.url+"/api/v1/leases", body); status != 503 || p.Kind != api.OutcomeUnknown || asked.Load() != 1 {
		t.Errorf("%d %+v after %d tries, want outcome_unknown after 1", status, p, asked.Load())
	}
	leader.fake.hook = nil
	leader.fake.err = api.Refuse(api.BindTimeout, "not bound")
	if status, p := ask(t, c, http.MethodPost, n.url+"/api/v1/leases", body); status != 503 || p.Kind != api.BindTimeout {
		t.Errorf("%d %+v, want bind_timeout as it is", status, p)
	}
	n.leader.err = api.Refuse(api.NoLeader, "no leader for 5s")
	if status, p := ask(t, c, http.MethodPost, n.url+"/api/v1/leases", body); status != 503 || p.Kind != api.NoLeader {
		t.Errorf("%d %+v, want no_leader", status, p)
	}
}

// TestFailOver: the scheduler dies in the middle of a write; the client repeats it at the
// other one with the same key, and stays there.
func TestFailOver(t *testing.T) {
	first, second := start(t, nil), start(t, nil)
	first.fake.hook = func(ctx context.Context, _ string) error {
		go first.kill()
		<-ctx.Done()
		return ctx.Err()
	}
	c := dial(t, api.RoleTenant, first, second)
	if _, err := c.StartRun(t.Context(), api.RunRequest{Provider: "aws", Module: digest(""), Resources: api.Resources{CPU: 1, Mem: 1}, TTLMs: 1000}, api.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.fake.last().Args, second.fake.last().Args); diff != "" {
		t.Errorf("the repetition differs:\n%s", diff)
	}
	if c.URL() != second.url {
		t.Errorf("the client goes on with %s, want %s", c.URL(), second.url)
	}
	if _, err := c.ListCells(t.Context(), "", api.ReadOptions{}); err != nil {
		t.Error(err)
	}
}

// TestGivingUp: what a call ends with when no scheduler is left.
func TestGivingUp(t *testing.T) {
	n := start(t, nil)
	n.kill()
	c, err := client.New(client.Config{URLs: []string{n.url}, TLS: clientTLS(t, api.RoleTenant), Timeout: 300e6})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ListCells(t.Context(), "", api.ReadOptions{}); api.KindOf(err) != api.NoLeader || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: %v, want no_leader for the deadline", err)
	}
	if _, err := c.RequestLeases(cancelled(t), aLease(), api.WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// Nothing was ever sent, so nothing is unknown.
	if _, err := c.CreateTenant(t.Context(), "acme", api.WriteOptions{}); api.KindOf(err) != api.NoLeader {
		t.Errorf("write: %v, want no_leader", err)
	}
	m := start(t, nil)
	m.fake.hook = func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	}
	if c, err = client.New(client.Config{URLs: []string{m.url}, TLS: clientTLS(t, api.RoleOperator), Timeout: 300e6}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateTenant(t.Context(), "acme", api.WriteOptions{}); api.KindOf(err) != api.OutcomeUnknown {
		t.Errorf("write that was sent: %v, want outcome_unknown", err)
	}
}

// TestDistrust: TLS that fails is said at once and by name, not after all the time.
func TestDistrust(t *testing.T) {
	n := start(t, nil)
	other := clientTLS(t, "")
	other.InsecureSkipVerify, other.VerifyConnection = false, nil // the system's roots know nothing of us
	c, err := client.New(client.Config{URLs: []string{n.url, n.url}, TLS: other})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ListCells(t.Context(), "", api.ReadOptions{}); api.KindOf(err) != api.Unauthenticated {
		t.Errorf("unknown CA: %v", err)
	}
}

func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
