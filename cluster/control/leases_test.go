package control

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/fsm"
)

// canary is a token that must be nowhere but with its owner.
const canary = "v4.public.canary-4711"

type granted struct {
	set *api.GrantSet
	err error
}

// request asks for leases and returns where the answer comes.
func (r *rig) request(ctx context.Context, q api.LeaseRequest, key string) <-chan granted {
	out := make(chan granted, 1)
	go func() {
		set, err := r.c.RequestLeases(ctx, q, api.WriteOptions{IdempotencyKey: key})
		out <- granted{set, err}
	}()
	return out
}

func TestGrantIsAnsweredWhenBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		q := cpu(1000)
		q.Resources.Mem = 1 << 20
		out := r.request(r.acme(), q, "k")
		synctest.Wait()
		r.bind(r.lease("l-1-cpu"), canary+"-cpu")
		synctest.Wait()
		select {
		case g := <-out:
			t.Fatalf("answered with one of two bound: %+v", g)
		default:
		}
		r.bind(r.lease("l-1-mem"), canary+"-mem")
		g := <-out
		if g.err != nil {
			t.Fatal(g.err)
		}
		if g.set.CellID != "c1" || len(g.set.Leases) != 2 {
			t.Fatalf("got %+v", g.set)
		}
		for _, l := range g.set.Leases {
			if l.Token != canary+"-"+string(l.Kind) || l.BoundAt.IsZero() || l.Coordinate == "" {
				t.Errorf("got %+v", l)
			}
		}
		if bytes.Contains(r.log.Bytes(), []byte("canary")) {
			t.Error("a token is in the log")
		}
		if len(r.c.tokens.held) != 0 {
			t.Errorf("%d tokens are kept", len(r.c.tokens.held))
		}
	})
}

// TestBindTimeout: what was not bound in time is undone, all of it, also when whoever asked
// is gone.
func TestBindTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		q := cpu(1000)
		q.Resources.Mem = 1 << 20
		out := r.request(r.acme(), q, "k")
		synctest.Wait()
		r.bind(r.lease("l-1-cpu"), canary)
		r.must(fsm.FreeLease{Actor: "scheduler", Lease: "l-1-mem", Reason: fsm.ReasonBindTimeout})
		g := <-out
		r.wantKind("grant", g.err, api.BindTimeout)
		if l := r.lease("l-1-cpu"); l.State != api.LeaseForcedTeardown {
			t.Errorf("the bound one is %s", l.State)
		}
	})
}

// TestGrantRepeated: the same key gets the same leases, with tokens minted again, and an
// ended lease as it is.
func TestGrantRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		out := r.request(r.acme(), cpu(1000), "k")
		synctest.Wait()
		l := r.lease("l-1-cpu")
		r.bind(l, canary)
		first := <-out
		stop := r.answerAsks(epoch, "minted")
		again := <-r.request(r.acme(), cpu(1000), "k")
		if again.err != nil || again.set.Leases[0].ID != first.set.Leases[0].ID || again.set.Leases[0].Token != "minted" {
			t.Errorf("got %+v, %v", again.set, again.err)
		}
		stop()
		r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: l.ID, Reason: fsm.ReasonReleased})
		ended := <-r.request(r.acme(), cpu(1000), "k")
		if ended.err != nil || ended.set.Leases[0].State != api.LeaseForcedTeardown || ended.set.Leases[0].Token != "" {
			t.Errorf("got %+v, %v", ended.set, ended.err)
		}
		if other := <-r.request(r.acme(), cpu(2000), "k"); api.KindOf(other.err) != api.Conflict {
			t.Errorf("another request under the key: %v", other.err)
		}
	})
}

// TestGrantRepeatedElsewhere: the outcome of a key is state. The next leader answers with it,
// also one whose state came by a snapshot, and for as long as the key is kept, which is
// longer than what was granted.
func TestGrantRepeatedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		out := r.request(r.acme(), cpu(1000), "k")
		synctest.Wait()
		r.bind(r.lease("l-1-cpu"), canary)
		first := <-out
		if first.err != nil {
			t.Fatal(first.err)
		}
		byLog, bySnapshot := bareRig(t, 64), bareRig(t, 64)
		byLog.follow(r, len(r.entries))
		bySnapshot.restore(r)
		for name, next := range map[string]*rig{"log": byLog, "snapshot": bySnapshot} {
			stop := next.answerAsks(epoch, "minted")
			again := <-next.request(next.acme(), cpu(1000), "k")
			if again.err != nil || again.set.Leases[0].ID != first.set.Leases[0].ID || again.set.Leases[0].Token != "minted" || again.set.Index != first.set.Index {
				t.Errorf("%s: got %+v, %v", name, again.set, again.err)
			}
			other := <-next.request(next.acme(), cpu(2000), "k")
			next.wantKind(name, other.err, api.Conflict)
			// Said in so many words, what was left out before is the same request.
			said := cpu(1000)
			said.Priority, said.Tenant = api.PriorityStandard, "acme"
			if again := <-next.request(next.operator(), said, "k"); again.err != nil || again.set.Leases[0].ID != first.set.Leases[0].ID {
				t.Errorf("%s: got %+v, %v", name, again.set, again.err)
			}
			// Another tenant's key is another key.
			theirs := next.request(next.other(), cpu(1000), "k")
			next.bindAll()
			if got := <-theirs; got.err != nil || got.set.Leases[0].ID == first.set.Leases[0].ID || got.set.Leases[0].Tenant != "other" {
				t.Errorf("%s: got %+v, %v", name, got.set, got.err)
			}
			stop()

			next.must(fsm.FreeLease{Actor: "tenant/acme", Lease: "l-1-cpu", Reason: fsm.ReasonReleased})
			next.tornDown(epoch, "l-1-cpu")
			next.pass(2*time.Hour + time.Minute)
			gone := <-next.request(next.acme(), cpu(1000), "k")
			next.wantKind(name, gone.err, api.NotFound)
			if p, _ := api.AsError(gone.err); p == nil || !strings.Contains(p.Detail, "l-1-cpu") || !strings.Contains(p.Detail, fmt.Sprint("index ", first.set.Index)) {
				t.Errorf("%s: a lease that is forgotten: %+v", name, p)
			}
		}
	})
}

// tornDown reports that a cell has torn a lease down.
func (r *rig) tornDown(epoch uint64, id api.LeaseID) {
	r.t.Helper()
	l := r.lease(id)
	r.must(fsm.ReportCell{Cell: l.CellID, Epoch: epoch, Ended: []api.EndedReport{{LeaseID: id, Epoch: l.Epoch, State: api.LeaseTornDown}}})
}

// answerAsks holds the session of cell c1 and mints what it is asked for; stop ends it.
func (r *rig) answerAsks(epoch uint64, token string) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for d, err := range r.c.Watch(ctx, "aws", "c1", api.WatchRequest{Epoch: epoch}) {
			if err != nil {
				return
			}
			for _, a := range d.Asks {
				_, _ = r.c.Report(ctx, "aws", "c1", api.Report{Epoch: epoch, Minted: []api.Minted{{AskID: a.ID, LeaseID: a.LeaseID, Token: token}}})
			}
		}
	}()
	synctest.Wait()
	return func() {
		cancel()
		<-done
	}
}

func TestGrantWhileLeadershipMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		out := r.request(r.acme(), cpu(1000), "k")
		synctest.Wait()
		r.set(func() { r.follows = true })
		began := time.Now()
		g := <-out
		r.wantKind("grant", g.err, api.OutcomeUnknown)
		if took := time.Since(began); took > leadCheck {
			t.Errorf("waited in vain for %s", took)
		}
		if l := r.lease("l-1-cpu"); l.State != api.LeaseActive {
			t.Errorf("the next leader finds it %s", l.State)
		}
	})
}

func TestGrantGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		ctx, cancel := context.WithCancel(r.acme())
		out := r.request(ctx, cpu(1000), "k")
		synctest.Wait()
		cancel()
		g := <-out
		r.wantKind("grant", g.err, api.OutcomeUnknown)
	})
}

func TestGrantDryRun(t *testing.T) {
	r := newRig(t)
	r.cell("c1")
	set, err := r.c.RequestLeases(r.acme(), cpu(1000), api.WriteOptions{DryRun: true})
	if err != nil || set.CellID != "c1" || len(set.Leases) != 0 || r.m.View().TenantUsage("acme").Leases != 0 {
		t.Errorf("got %+v, %v", set, err)
	}
}

// bound makes a lease of acme that is bound.
func (r *rig) bound() api.Lease {
	r.t.Helper()
	out := r.request(r.acme(), cpu(1000), "")
	synctest.Wait()
	r.bind(r.lease("l-1-cpu"), "first")
	if g := <-out; g.err != nil {
		r.t.Fatal(g.err)
	}
	return r.lease("l-1-cpu")
}

func TestRenew(t *testing.T) {
	type renewal struct {
		a   *api.LeaseAnswer
		err error
	}
	tests := []struct {
		name string
		do   func(r *rig, l api.Lease) // while the renewal waits for the cell
		kind api.Kind
	}{
		{"applied", func(r *rig, l api.Lease) { r.bind(l, "second") }, ""},
		{"not applied", func(*rig, api.Lease) {}, api.OutcomeUnknown},
		{"revoked meanwhile", func(r *rig, l api.Lease) {
			r.must(fsm.RevokeLease{Actor: "operator/root", Lease: l.ID})
		}, api.LeaseRevoked},
		{"leadership moved", func(r *rig, _ api.Lease) { r.set(func() { r.follows = true }) }, api.OutcomeUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.beat("c1", r.cell("c1"), 1)
				l := r.bound()
				out := make(chan renewal, 1)
				go func() {
					a, err := r.c.RenewLease(r.acme(), l.ID, api.RenewRequest{TTLMs: 120_000}, api.WriteOptions{IdempotencyKey: "k"})
					out <- renewal{a, err}
				}()
				synctest.Wait()
				after := r.lease(l.ID)
				if after.Generation != 2 || after.TTLMs != 120_000 {
					t.Fatalf("got %+v", after)
				}
				tt.do(r, after)
				got := <-out
				r.wantKind("renew", got.err, tt.kind)
				if tt.kind == "" && (got.a.Lease.Token != "second" || got.a.Lease.BoundGeneration != 2) {
					t.Errorf("got %+v", got.a)
				}
				if tt.kind == api.OutcomeUnknown {
					for _, at := range []time.Time{l.ExpiresAt, after.ExpiresAt} {
						if !strings.Contains(got.err.Error(), at.Format(time.RFC3339)) {
							t.Errorf("%v does not name %s", got.err, at)
						}
					}
				}
			})
		})
	}
}

// beat is a heartbeat of a cell, as this scheduler hears it.
func (r *rig) beat(id api.CellID, epoch, seq uint64) {
	r.c.cfg.Sightings.Heartbeat(id, epoch, *heartbeat(seq), heartbeatLimit)
}

// beatAt is a heartbeat at a time of the cell's own clock.
func (r *rig) beatAt(id api.CellID, epoch, seq uint64, at time.Duration) {
	h := *heartbeat(seq)
	h.Stamp.BootTime = int64(at)
	r.c.cfg.Sightings.Heartbeat(id, epoch, h, heartbeatLimit)
}

// TestRenewalThatWasMissed: a renewal that its cell was too late for is not asked about for ever, and another one is
// taken.
func TestRenewalThatWasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		r.beatAt("c1", epoch, 1, time.Second)
		l := r.bound()
		renew := func(key string) error {
			_, err := r.c.RenewLease(r.acme(), l.ID, api.RenewRequest{TTLMs: 120_000}, api.WriteOptions{IdempotencyKey: key})
			return err
		}
		r.wantKind("while it stands still", renew("k1"), api.OutcomeUnknown)
		r.beatAt("c1", epoch, 2, time.Second+api.DeliveryBound)
		r.wantKind("while it may take it", renew("k1"), api.OutcomeUnknown)
		r.beatAt("c1", epoch, 3, 2*time.Second+api.DeliveryBound)
		began := time.Now()
		r.wantKind("when it has gone on", renew("k1"), api.BindTimeout)
		if took := time.Since(began); took > time.Second {
			t.Errorf("what is known is said after %s", took)
		}
		out := make(chan error, 1)
		go func() { out <- renew("k2") }()
		synctest.Wait()
		if l = r.lease(l.ID); l.Generation != 3 {
			t.Fatalf("renewed again it is in generation %d", l.Generation)
		}
		r.bind(l, "third")
		if err := <-out; err != nil {
			t.Error(err)
		}
	})
}

// TestRenewWithoutStamp: a renewal that its cell could not apply, because no heartbeat stamps
// it, is not committed: it waits for one, as after a fail-over, and is refused without.
func TestRenewWithoutStamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		l := r.bound()
		renew := func(key string) (*api.LeaseAnswer, error) {
			return r.c.RenewLease(r.acme(), l.ID, api.RenewRequest{TTLMs: 120_000}, api.WriteOptions{IdempotencyKey: key})
		}
		_, err := renew("k1")
		r.wantKind("unheard of", err, api.BindTimeout)

		r.beat("c1", epoch, 1)
		time.Sleep(api.DeliveryBound)
		_, err = renew("k1")
		r.wantKind("heard too long ago", err, api.BindTimeout)
		if got := r.lease(l.ID); got.Generation != 1 {
			t.Errorf("it was renewed to generation %d", got.Generation)
		}

		type answer struct {
			a   *api.LeaseAnswer
			err error
		}
		out := make(chan answer, 1)
		go func() {
			a, err := renew("k1")
			out <- answer{a, err}
		}()
		time.Sleep(time.Second)
		r.beat("c1", epoch, 2)
		time.Sleep(time.Second)
		r.bind(r.lease(l.ID), "second")
		if got := <-out; got.err != nil || got.a.Lease.Generation != 2 || got.a.Lease.Stamp.BootID != "boot" {
			t.Errorf("heard in time: %+v, %v", got.a, got.err)
		}

		// What is done is told again, whatever was heard of the cell since.
		time.Sleep(api.DeliveryBound)
		stop := r.answerAsks(epoch, "third")
		if a, err := renew("k1"); err != nil || a.Lease.Generation != 2 {
			t.Errorf("repeated: %+v, %v", a, err)
		}
		stop()

		r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: l.ID})
		began := time.Now()
		_, err = renew("k2")
		r.wantKind("ended", err, api.LeaseRevoked)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the renewal of a lease that has ended took %s", took)
		}
	})
}

func TestLeaseToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		_, err := r.c.LeaseToken(r.acme(), "l-9-cpu", api.WriteOptions{})
		r.wantKind("unknown", err, api.NotFound)
		l := r.bound()
		_, err = r.c.LeaseToken(r.acme(), l.ID, api.WriteOptions{})
		r.wantKind("no session", err, api.OutcomeUnknown)

		stop := r.answerAsks(epoch, canary)
		a, err := r.c.LeaseToken(r.acme(), l.ID, api.WriteOptions{})
		if err != nil || a.Lease.Token != canary {
			t.Errorf("got %+v, %v", a, err)
		}
		stop()

		// A cell that takes the question and never answers.
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, err := range r.c.Watch(ctx, "aws", "c1", api.WatchRequest{Epoch: epoch}) {
				if err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		_, err = r.c.LeaseToken(r.acme(), l.ID, api.WriteOptions{})
		r.wantKind("no answer", err, api.OutcomeUnknown)
		cancel()
		<-done
		if len(r.c.mints.open) != 0 {
			t.Error("a question is kept")
		}
		r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: l.ID, Reason: fsm.ReasonReleased})
		_, err = r.c.LeaseToken(r.acme(), l.ID, api.WriteOptions{})
		r.wantKind("ended", err, api.LeaseRevoked)
	})
}

// TestAnswersOfAnotherCell: a cell hands over tokens of its own leases, and answers what it
// was asked, nothing else.
func TestAnswersOfAnotherCell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		evil := r.cell("c2")
		out := r.request(r.acme(), cpu(1000), "")
		synctest.Wait()
		l := r.lease("l-1-cpu")
		if _, err := r.c.TakeReport(t.Context(), "aws", "c2", api.Report{Epoch: evil, Bound: []api.BoundReport{
			{LeaseID: l.ID, Generation: 1, Epoch: l.Epoch, Token: "evil"},
		}}); err != nil {
			t.Fatal(err)
		}
		if n := len(r.c.tokens.held); n != 0 {
			t.Errorf("%d tokens of another cell's lease are kept", n)
		}
		answer := r.c.mints.ask("q", "c1")
		r.c.mints.answer("c2", api.Minted{AskID: "q", Token: "evil"})
		r.c.mints.answer("c1", api.Minted{AskID: "q", Token: "good"})
		if m := <-answer; m.Token != "good" {
			t.Errorf("got %+v", m)
		}
		r.bind(l, "good")
		if g := <-out; g.err != nil || g.set.Leases[0].Token != "good" {
			t.Errorf("got %+v, %v", g.set, g.err)
		}
	})
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTokens(clock.System())
		k.put("l1", 1, "a")
		k.put("l2", 1, "")
		if _, ok := k.take("l2", 1); ok {
			t.Error("no token is none")
		}
		if _, ok := k.take("l1", 2); ok {
			t.Error("a token of another generation")
		}
		if got, ok := k.take("l1", 1); !ok || got != "a" {
			t.Errorf("got %q", got)
		}
		if _, ok := k.take("l1", 1); ok {
			t.Error("taken twice")
		}
		for i := range maxTokens + 10 {
			k.put(api.LeaseID(strings.Repeat("x", i%50)+string(rune('a'+i%26))), uint64(i), "t")
		}
		if len(k.held) > maxTokens || len(k.order) > maxTokens {
			t.Errorf("%d held, %d in order", len(k.held), len(k.order))
		}
		time.Sleep(tokenKeep)
		k.put("last", 1, "t")
		if len(k.held) != 1 || len(k.order) != 1 {
			t.Errorf("%d held, %d in order after their time", len(k.held), len(k.order))
		}
	})
}

// TestEmptyTerms: terms that say nothing are none, so that a repetition that leaves them out is the same request.
func TestEmptyTerms(t *testing.T) {
	ctx := api.WithCaller(t.Context(), api.Caller{Role: api.RoleTenant, Name: "acme"})
	r := api.LeaseRequest{Provider: "aws", Tenant: "acme", TTLMs: 1000, Resources: api.Resources{CPU: 1}}
	plain, err := checked(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	r.Terms = &api.Terms{Egress: []string{}}
	if empty, err := checked(ctx, r); err != nil || empty != plain {
		t.Errorf("%+v, %v", empty, err)
	}
}
