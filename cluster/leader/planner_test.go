package leader

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/placement"
)

func TestAdmit(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1", "c2")
		res := r.admit(grantRun(0))
		l := r.lease(res.Leases[0])
		if l.RunID != res.Run || res.Run == "" || l.Stamp.BootID != "boot" || l.Amount != 1000 {
			r.t.Errorf("got %+v for run %q", l, res.Run)
		}
		if !strings.HasPrefix(string(l.ID), "l-") || len(l.ID) != 18 {
			r.t.Errorf("got id %s", l.ID)
		}
	})
}

// TestConcurrentAdmissions: however many ask at once, what there is is granted, to the last
// unit and never beyond it.
func TestConcurrentAdmissions(t *testing.T) {
	tests := []struct {
		name  string
		quota int64 // of cpu
		n     int
		want  string
	}{
		{"capacity", -1, 100, "map[:16 no_eligible_provider_cells:84]"},
		{"as many as fit", -1, 16, "map[:16]"},
		{"quota", 3000, 100, "map[:6 quota_exceeded:94]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.ready("c1", "c2")
				q := api.NoQuota()
				q.CPU = tt.quota
				r.must(fsm.SetQuota{Actor: "operator/root", Tenant: "acme", Quota: q})
				if got := tally(r.all(tt.n, func(int) fsm.GrantLeases { return grant(500) })); got != tt.want {
					r.t.Errorf("got %s, want %s", got, tt.want)
				}
				for _, e := range r.entries {
					for _, c := range e.Commands {
						if g, ok := c.(fsm.GrantLeases); ok && len(g.Items) != 1 {
							r.t.Errorf("a grant of %d items", len(g.Items))
						}
					}
				}
			})
		})
	}
}

// slow makes every entry take a moment, so that others queue up behind it.
func (r *rig) slow() {
	r.holding(func(ctx context.Context, _ fsm.Entry) error {
		select {
		case <-time.After(20 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return api.Refuse(api.OutcomeUnknown, "stopped")
		}
	})
}

func (r *rig) holding(f func(context.Context, fsm.Entry) error) { r.change(func() { r.hold = f }) }

func (r *rig) preceding(f func(fsm.Entry)) { r.change(func() { r.before = f }) }

// TestNothingIsCountedTwice: with entries in flight, a request for all that is left is not
// refused.
func TestNothingIsCountedTwice(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		r.slow()
		for range 3 {
			out := r.all(8, func(int) fsm.GrantLeases { return grant(500) })
			if got := tally(out); got != "map[:8]" {
				r.t.Fatalf("got %s", got)
			}
			for _, o := range out {
				r.tearDown(o.res.Leases[0])
			}
		}
		if n := len(r.l.term.Load().booked.list()); n != 0 {
			r.t.Errorf("%d bookings stay", n)
		}
	})
}

// TestInFlightCounts: what is decided and not committed yet is taken; nothing is proposed
// that the state would have to refuse.
func TestInFlightCounts(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		r.slow()
		first := make(chan []outcome, 1)
		go func() { first <- r.all(4, func(int) fsm.GrantLeases { return grant(1000) }) }()
		synctest.Wait()
		if got := tally(r.all(4, func(int) fsm.GrantLeases { return grant(1000) })); got != "map[no_eligible_provider_cells:4]" {
			r.t.Errorf("got %s behind what is in flight", got)
		}
		if got := tally(<-first); got != "map[:4]" {
			r.t.Errorf("got %s", got)
		}
		if n := len(commands[fsm.GrantLeases](r.fakeNode)); n != 4 {
			r.t.Errorf("%d grants in the log", n)
		}
	})
}

func TestGroupCommit(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		r.slow()
		before := len(r.entries)
		out := r.all(1000, func(int) fsm.GrantLeases { return grant(1) })
		if got := tally(out); got != "map[:1000]" {
			r.t.Fatalf("got %s", got)
		}
		largest := 0
		for _, e := range r.entries[before:] {
			largest = max(largest, len(e.Commands))
			size := 0
			for _, c := range e.Commands {
				size += fsm.EncodedSize(c)
			}
			if size > groupBytes && len(e.Commands) > 1 {
				r.t.Errorf("an entry of %d bytes", size)
			}
		}
		if n := len(r.entries) - before; n > 10 || largest > maxGroup {
			r.t.Errorf("%d entries, the largest of %d commands", n, largest)
		}
		if r.most != inFlight {
			r.t.Errorf("%d entries in flight", r.most)
		}
	})
}

// TestLittleWaits: a few commands wait for the entry that is in flight, and share the next one;
// many do not wait.
func TestLittleWaits(t *testing.T) {
	for _, tt := range []struct{ n, most int }{{muchToDo - 1, 1}, {muchToDo, 2}} {
		bubble(t, func(r *rig) {
			r.ready("c1")
			r.slow()
			var before int
			r.change(func() { before, r.most = len(r.entries), 0 })
			first := make(chan []outcome, 2)
			go func() { first <- r.all(1, func(int) fsm.GrantLeases { return grant(1) }) }()
			synctest.Wait()
			for _, n := range []int{tt.n / 2, tt.n - tt.n/2} {
				go func() { first <- r.all(n, func(int) fsm.GrantLeases { return grant(1) }) }()
				synctest.Wait()
			}
			for range 3 {
				if got := tally(<-first); strings.Contains(got, "_") {
					r.t.Errorf("got %s", got)
				}
			}
			r.change(func() {
				if n := len(r.entries) - before; n != 2 || r.most != tt.most {
					r.t.Errorf("%d commands behind one: %d entries, %d in flight", tt.n, n, r.most)
				}
			})
		})
	}
}

// TestLargeCommands: one that does not fit into the group begins the next one.
func TestLargeCommands(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		r.slow()
		out := make(chan error, 20)
		for i := range 20 {
			go func() {
				_, err := r.l.Submit(r.t.Context(), fsm.NoteRefusals{Refusals: refusalsOf(fmt.Sprint("t", i))})
				out <- err
			}()
		}
		for range 20 {
			if err := <-out; err != nil {
				r.t.Error(err)
			}
		}
		for _, e := range r.entries {
			if b, err := fsm.EncodeEntry(e); err != nil || len(b) > fsm.MaxEntry {
				r.t.Errorf("an entry of %d bytes: %v", len(b), err)
			}
		}
	})
}

func refusalsOf(tenant string) []fsm.Refusal {
	list := make([]fsm.Refusal, fsm.MaxRefusals)
	for i := range list {
		list[i] = fsm.Refusal{Tenant: api.TenantID(tenant), Kind: api.QuotaExceeded, Provider: "aws", Count: 1}
	}
	return list
}

// TestConflictDecidedAnew: somebody else took the room between the decision and its commit.
func TestConflictDecidedAnew(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1", "c2")
		var once bool
		r.preceding(func(e fsm.Entry) {
			g, ok := e.Commands[0].(fsm.GrantLeases)
			if !ok || once {
				return
			}
			once = true
			other := g
			other.Items = []fsm.GrantItem{{ID: "l-other", Kind: api.KindCPU, Amount: 4000}}
			if res, err := r.apply(fsm.Entry{Tick: e.Tick, Wall: e.Wall, Commands: []fsm.Command{other}}); err != nil || res[0].Problem != nil {
				r.t.Errorf("got %v %v", res, err)
			}
		})
		res := r.admit(grant(4000))
		if a, b := r.lease("l-other").CellID, r.lease(res.Leases[0]).CellID; a == b {
			r.t.Errorf("both on %s", a)
		}
		if n := len(r.l.term.Load().booked.list()); n != 0 {
			r.t.Errorf("%d bookings stay", n)
		}
	})
}

// TestConflictForEver: a decision that is always overtaken is answered.
func TestConflictForEver(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		r.preceding(func(e fsm.Entry) {
			if _, ok := e.Commands[0].(fsm.GrantLeases); ok { // the cell's agent starts again and again
				epoch := r.record("c1").Epoch
				_, _ = r.apply(fsm.Entry{Tick: e.Tick, Wall: e.Wall, Commands: []fsm.Command{fsm.RegisterCell{
					Actor: "cell/aws/c1", Provider: "aws", Cell: "c1", Agent: fmt.Sprint("agent", epoch), BrokerKey: "bb", Version: "v0",
					Identity: api.Identity{SPKI: "ab", Serial: "01", NotAfter: 4e9}, DataURL: "https://10.0.0.1:7500",
				}}})
			}
		})
		if _, err := r.l.Admit(r.t.Context(), grant(1)); err == nil {
			r.t.Error("admitted")
		}
		if n := len(r.l.term.Load().booked.list()); n != 0 {
			r.t.Errorf("%d bookings stay", n)
		}
	})
}

func TestIdempotency(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		first := r.admit(keyed(grant(4000), "k", "h"))
		again := r.admit(keyed(grant(4000), "k", "h"))
		if !again.Replayed || again.Leases[0] != first.Leases[0] || again.Index != first.Index {
			r.t.Errorf("got %+v after %+v", again, first)
		}
		if _, err := r.l.Admit(r.t.Context(), keyed(grant(4000), "k", "other")); api.KindOf(err) != api.Conflict ||
			!strings.Contains(err.Error(), fmt.Sprintf("%q was used before for another request, at index %d", "k", first.Index)) {
			r.t.Errorf("another request: %v", err)
		}
		if _, err := r.l.Admit(r.t.Context(), keyed(grant(4000), "k2", "h")); api.KindOf(err) != api.NoEligibleProviderCells {
			r.t.Errorf("another key: %v", err)
		}
	})
}

// TestRepeatedInFlight: a request that is repeated before it was committed is granted once,
// and every repetition is answered with that grant, though there is room and quota for one.
func TestRepeatedInFlight(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		q := api.NoQuota()
		q.Leases = 1
		r.must(fsm.SetQuota{Actor: "operator/root", Tenant: "acme", Quota: q})
		r.slow()
		out := r.all(50, func(int) fsm.GrantLeases { return keyed(grant(4000), "k", "h") })
		if got := tally(out); got != "map[:50]" {
			r.t.Fatalf("got %s", got)
		}
		for _, o := range out {
			if o.res.Leases[0] != out[0].res.Leases[0] {
				r.t.Fatalf("two grants: %v and %v", o.res.Leases, out[0].res.Leases)
			}
		}
		if n := len(commands[fsm.GrantLeases](r.fakeNode)); n != 1 {
			r.t.Errorf("%d grants in the log", n)
		}
	})
}

func TestRefusalsNoted(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		r.all(7, func(int) fsm.GrantLeases { return grant(4001) })
		r.all(3, func(int) fsm.GrantLeases { g := grant(1); g.Provider = "gcp"; return g })
		r.pass(3 * time.Second)
		got := fmt.Sprint(commands[fsm.NoteRefusals](r.fakeNode))
		want := fmt.Sprint([]fsm.NoteRefusals{{Refusals: []fsm.Refusal{
			{Tenant: "acme", Kind: api.NoEligibleProviderCells, Provider: "aws", Count: 7},
			{Tenant: "acme", Kind: api.RuntimeNotReady, Provider: "gcp", Count: 3},
		}}})
		if got != want {
			r.t.Errorf("got %s\nwant %s", got, want)
		}
	})
}

// TestRefusalsBounded: as many different ones a second as one command takes.
func TestRefusalsBounded(t *testing.T) {
	bubble(t, func(r *rig) {
		for i := range 2 * fsm.MaxRefusals {
			r.l.term.Load().refused.note(api.TenantID(fmt.Sprint("t", i)), api.QuotaExceeded, "aws")
		}
		r.pass(3 * time.Second)
		notes := commands[fsm.NoteRefusals](r.fakeNode)
		if len(notes) != 1 || len(notes[0].Refusals) != fsm.MaxRefusals {
			r.t.Errorf("got %d notes", len(notes))
		}
	})
}

// TestTermEnds: whoever waits is answered, in the queue or in flight, and nobody waits after.
func TestTermEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start()
		r.ready("c1")
		r.holding(func(ctx context.Context, _ fsm.Entry) error {
			<-ctx.Done()
			return api.Refuse(api.OutcomeUnknown, "leadership moved")
		})
		out := make(chan []outcome, 1)
		go func() {
			out <- r.all(1000, func(i int) fsm.GrantLeases { return keyed(grant(1), fmt.Sprint(i%900), "h") })
		}()
		synctest.Wait()
		r.stop()
		synctest.Wait()
		select {
		case o := <-out:
			for _, o := range o {
				if k := api.KindOf(o.err); k != api.NoLeader && k != api.OutcomeUnknown {
					t.Fatalf("got %v", o.err)
				}
			}
		default:
			t.Fatal("somebody still waits")
		}
		if _, gate, _, _ := r.seen(); gate {
			t.Error("the gate is open")
		}
		if _, err := r.l.Submit(t.Context(), fsm.Tick{}); api.KindOf(err) != api.NoLeader {
			t.Errorf("got %v", err)
		}
		if _, err := r.l.Plan(placement.Request{Provider: "aws"}); api.KindOf(err) != api.NoLeader {
			t.Errorf("got %v", err)
		}
	})
}

// TestLateJob: a caller that took the term's address before it ended is answered.
func TestLateJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start()
		term := r.l.term.Load()
		r.stop()
		if _, err := term.do(t.Context(), &job{cmd: fsm.Tick{}})[0].split(); api.KindOf(err) != api.NoLeader {
			t.Errorf("got %v", err)
		}
	})
}

// TestAdmitNone: of a batch nothing may be left to decide, and nobody waits for that.
func TestAdmitNone(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		began := time.Now()
		if results, errs := r.l.AdmitAll(r.t.Context(), nil); len(results)+len(errs) != 0 || time.Since(began) != 0 {
			r.t.Errorf("%v, %v after %s", results, errs, time.Since(began))
		}
	})
}

// TestAdmitSome: each of many is decided on its own, and who gives up hears so of what is not.
func TestAdmitSome(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		results, errs := r.l.AdmitAll(r.t.Context(), []fsm.GrantLeases{grant(500), grant(4001), grant(500)})
		if errs[0] != nil || errs[2] != nil || len(results[0].Leases) != 1 || len(results[2].Leases) != 1 || results[0].Leases[0] == results[2].Leases[0] {
			r.t.Errorf("granted %v, %v", results, errs)
		}
		if api.KindOf(errs[1]) != api.NoEligibleProviderCells {
			r.t.Errorf("more than a cell has: %v", errs[1])
		}
		free := make(chan struct{})
		r.holding(func(context.Context, fsm.Entry) error { <-free; return nil })
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		_, errs = r.l.AdmitAll(ctx, []fsm.GrantLeases{grant(4001), grant(500)})
		if api.KindOf(errs[0]) != api.NoEligibleProviderCells || api.KindOf(errs[1]) != api.OutcomeUnknown {
			r.t.Errorf("given up: %v", errs)
		}
		close(free)
	})
}

// TestCallerGone: a caller that gave up is not kept waiting, and takes nothing.
func TestCallerGone(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		free := make(chan struct{})
		r.holding(func(context.Context, fsm.Entry) error { <-free; return nil })
		for range inFlight {
			go func() { _, _ = r.l.Submit(r.t.Context(), fsm.Tick{}) }()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(r.t.Context())
		got := make(chan error, 1)
		go func() {
			_, err := r.l.Admit(ctx, grant(1))
			got <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-got; api.KindOf(err) != api.OutcomeUnknown {
			r.t.Errorf("got %v", err)
		}
		close(free)
		synctest.Wait()
		if n := len(commands[fsm.GrantLeases](r.fakeNode)); n != 0 {
			r.t.Errorf("%d grants for nobody", n)
		}
	})
}

// TestOverload: a full queue refuses callers, never the leader's own duties.
func TestOverload(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		res := r.admit(grant(1))
		free := make(chan struct{})
		r.holding(func(context.Context, fsm.Entry) error { <-free; return nil })
		ctx, cancel := context.WithCancel(r.t.Context())
		defer cancel()
		var refused int
		for range queueLen + 2*maxGroup*inFlight {
			go func() {
				if _, err := r.l.Submit(ctx, fsm.Tick{}); api.KindOf(err) == api.Overloaded {
					r.mu.Lock()
					refused++
					r.mu.Unlock()
				}
			}()
		}
		synctest.Wait()
		r.mu.Lock()
		if refused == 0 {
			r.t.Error("nobody was refused")
		}
		r.mu.Unlock()
		time.Sleep(api.BindBound + time.Second) // its bind timeout is due behind the full queue
		close(free)
		synctest.Wait()
		r.wantLease(res.Leases[0], api.LeaseForcedTeardown, fsm.ReasonBindTimeout)
	})
}

func TestPlan(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1", "c2")
		ask := placement.Request{Provider: "aws", Tenant: "acme", Resources: api.Resources{CPU: 4000}, Leases: 1, Priority: api.PriorityStandard}
		plan, err := r.l.Plan(ask)
		if err != nil || plan.Decision != api.DecisionAdmit || plan.Index != r.m.View().Index() || plan.Provider != "aws" {
			r.t.Fatalf("got %+v, %v", plan, err)
		}
		if got := r.lease(r.admit(grant(4000)).Leases[0]).CellID; got != plan.CellID {
			r.t.Errorf("placed on %s, planned on %s", got, plan.CellID)
		}
		ask.Tenant = "nobody"
		plan, err = r.l.Plan(ask)
		if err != nil || plan.Refusal == nil || plan.Refusal.Kind != api.NotFound {
			r.t.Errorf("an unknown tenant: %+v, %v", plan, err)
		}
		g := grant(1)
		g.Tenant = "nobody"
		if _, err := r.l.Admit(r.t.Context(), g); api.KindOf(err) != api.NotFound {
			r.t.Errorf("an unknown tenant: %v", err)
		}
	})
}
