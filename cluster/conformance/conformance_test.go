package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// A cell that keeps its promises passes; of each that keeps one not, the check of that one fails.
func TestEveryFlawIsFound(t *testing.T) {
	for f, want := range map[flaw][]string{
		none: {}, neverBinds: {"mem/leased", "cpu/leased", "block/leased"}, dirty: {"mem/wiped"}, forgets: {"block/used_relayed"},
		longReads: {"mem/past_the_end_relayed"}, halfWrites: {"block/past_the_end_relayed"},
		anyToken: {"mem/flipped", "mem/foreign_broker", "mem/foreign_broker_under_its_name", "block/foreign_cell"},
		anyLease: {"mem/foreign_lease_relayed"}, oldTokens: {"mem/old_generation_relayed", "cpu/old_generation_relayed"},
		noRenewal: {"mem/renewed", "cpu/renewed"}, servesEnded: {"mem/revoked", "mem/freed"}, servesLate: {"mem/expired", "cpu/expired"},
		endsEarly: {"mem/expired", "cpu/expired"}, fences: {"mem/revoked_torn_down", "mem/expired_torn_down", "block/freed_torn_down"},
		anyHolder: {"mem/unproved_relayed", "cpu/unproved_relayed"}, anyProof: {"mem/wrong_key_relayed", "mem/other_proof_relayed"},
		replays: {"mem/proved_relayed"}, neverStops: {"cpu/killed_at_its_end"}, noOutput: {"cpu/ran"}, ignoresCuts: {"mem/narrowed", "mem/widened"},
		excuses: {"mem/used_relayed", "cpu/used_relayed"}, keepsRoom: nil, // which kind is the first to have none is chance
		otherGPU: {"gpu/ordinals"}, oneGPU: {"gpu/exclusive"}, keepsGPU: {"gpu/exclusive"},
		anywhere: {"net/refused_elsewhere"}, loses: {"net/connected"}, keepsFlows: {"net/cut_at_its_end"}, refuses: {"net/connected"}, walled: {},
	} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			c := newCell(t, f)
			r, err := c.run(t.Context(), t)
			if err != nil {
				t.Fatal(err)
			}
			var failed []string
			for _, check := range r.Failed {
				failed = append(failed, check.ID())
				t.Logf("%s: got %s, want %s", check.ID(), check.Got, check.Want)
			}
			if r.Passed != (len(want) == 0 && want != nil) || r.Passed && len(failed) > 0 || r.Checks < 3 || len(r.Kinds) != 5 {
				t.Errorf("%d checks of %v, passed %t, failed %v", r.Checks, r.Kinds, r.Passed, failed)
			}
			for _, name := range want {
				if !slices.Contains(failed, name) {
					t.Errorf("%s did not fail, but %v", name, failed)
				}
			}
		})
	}
}

// A suite that is stopped, or whose scheduler or cell is not fit any more, has no result; what it leased
// is given back.
func TestNoResult(t *testing.T) {
	for name, c := range map[string]struct {
		kind api.Kind
		end  func(*cell, context.CancelFunc)
	}{
		"cancelled": {api.OutcomeUnknown, func(_ *cell, stop context.CancelFunc) { stop() }},
		"unfit": {api.NoLeader, func(c *cell, _ context.CancelFunc) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.unfit, c.flaw = api.Refuse(api.NoLeader, "leadership moved"), anyHolder
		}},
		"not asked": {api.Overloaded, func(c *cell, _ context.CancelFunc) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.unasked = api.Refuse(api.Overloaded, "too many operations are under way")
		}},
		"no session": {api.OutcomeUnknown, func(c *cell, _ context.CancelFunc) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.unasked = api.Refuse(api.OutcomeUnknown, "no scheduler holds a session")
		}},
		"no word": {api.OutcomeUnknown, func(c *cell, _ context.CancelFunc) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.unasked = context.DeadlineExceeded
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newCell(t, none)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			rec := f.record()
			done := false
			_, err := Run(ctx, Config{Fabric: f, ClusterID: clusterID, Cell: rec, Free: rec.Capacity, Clock: clock.System(), Emit: func(check api.ConformanceCheck) {
				if check.Name == checkUsed+viaRelay && !done {
					done = true
					c.end(f, stop)
				}
			}})
			if api.KindOf(err) != c.kind {
				t.Errorf("it ends with %v", err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			for id, l := range f.leases {
				if !l.State.Terminal() {
					t.Errorf("lease %s is %s", id, l.State)
				}
			}
		})
	}
}

// What ended a suite throws no failure of its cell away, unless its result could not be recorded, or is
// not wanted.
func TestFailuresAreKept(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	full, moved := api.Refuse(api.PlacementFailed, "no room"), api.Refuse(api.NoLeader, "leadership moved")
	for name, c := range map[string]struct {
		ctx    context.Context //nolint:containedctx // of one case
		cause  error
		failed bool
		want   api.Kind
	}{
		"no room":                       {t.Context(), NotTheCells(full), false, api.PlacementFailed},
		"no room after a failure":       {t.Context(), NotTheCells(full), true, ""},
		"unfit after a failure":         {t.Context(), api.Refuse(api.Conflict, "it drains"), true, ""},
		"moved after a failure":         {t.Context(), moved, true, api.NoLeader},
		"moved, asked, after it":        {t.Context(), NotTheCells(moved), true, api.NoLeader},
		"stopped after a failure":       {stopped, context.Canceled, true, api.OutcomeUnknown},
		"no time":                       {t.Context(), context.DeadlineExceeded, false, ""},
		"a scheduler without an answer": {t.Context(), NotTheCells(context.DeadlineExceeded), false, api.OutcomeUnknown},
	} {
		s := &suite{Config: Config{Emit: func(api.ConformanceCheck) {}}}
		if c.failed {
			s.tell(api.ConformanceCheck{Name: checkRevoked})
		}
		err := s.interrupted(c.ctx, c.cause)
		if want := map[bool]int{true: 2, false: 1}[c.failed]; api.KindOf(err) != c.want || err == nil && len(s.failed) != want {
			t.Errorf("%s: %v, %v", name, err, s.failed)
		}
		if r := (&api.ConformanceReport{Failed: s.failed}); err == nil && r.CutShort() != c.failed {
			t.Errorf("%s: it is cut short: %t, %v", name, r.CutShort(), s.failed)
		}
	}
}

// A suite that ends before all of its checks were made says so, and at which: what it did not come to is not good. A whole
// one does not.
func TestCutShort(t *testing.T) {
	for f, cut := range map[flaw]bool{none: false, keepsRoom: true, oldTokens: false} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			r, err := newCell(t, f).run(t.Context(), t)
			if err != nil {
				t.Fatal(err)
			}
			if r.CutShort() != cut {
				t.Fatalf("cut short: %t, of %d checks %v failed", r.CutShort(), r.Checks, r.Failed)
			}
			if !cut {
				return
			}
			last := r.Failed[len(r.Failed)-1]
			if want := fmt.Sprintf("%d of them, then at ", r.Checks-1); !strings.HasPrefix(last.Got, want) || !strings.Contains(last.Got, "no room") {
				t.Errorf("it says %+v, want %q", last, want)
			}
		})
	}
}

// A cell with one gpu that says that its lease has another: the one that it has is given back, and every other check is made.
func TestAnotherGPUEndsNoSuite(t *testing.T) {
	made := map[flaw]int{}
	for _, f := range []flaw{none, otherGPU} {
		c := newCell(t, f)
		c.capacity.GPU = 1
		r, err := c.run(t.Context(), t)
		if err != nil {
			t.Fatal(err)
		}
		made[f] = r.Checks
		if r.CutShort() || len(r.Failed) > 1 || r.Passed != (f == none) {
			t.Errorf("%q: of %d checks %v failed", f, r.Checks, r.Failed)
		}
	}
	if made[none] != made[otherGPU] {
		t.Errorf("%d checks were made, %d where the gpu is another", made[none], made[otherGPU])
	}
}

// A cell without room is busy, and not found wanting.
func TestBusy(t *testing.T) {
	rec := newCell(t, none).record()
	free := rec.Capacity
	if err := Busy(&rec, free); err != nil {
		t.Error(err)
	}
	free.Block = 4096
	if err := Busy(&rec, free); api.KindOf(err) != api.Overloaded {
		t.Errorf("got %v", err)
	}
	rec.Capacity = api.Resources{}
	if err := Busy(&rec, free); api.KindOf(err) != api.Conflict {
		t.Errorf("got %v", err)
	}
}

// A cell that says itself that it stands still takes no leases of some kinds any more. That ends their checks, and
// no others: those may find what does not move, and without a finding there is no result.
func TestCellThatStandsStill(t *testing.T) {
	for f, failed := range map[flaw]bool{none: false, neverStops: true} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			c := newCell(t, f)
			c.stuck = StandsStill(api.Refuse(api.NoEligibleProviderCells, "a teardown takes 2s"))
			c.unfit = c.stuck
			r, err := c.run(t.Context(), t)
			switch {
			case failed && (err != nil || len(r.Failed) != 2 || r.Failed[0].ID() != "cpu/killed_at_its_end" || !r.CutShort()):
				t.Errorf("%+v, %v", r, err)
			case !failed && api.KindOf(err) != api.NoEligibleProviderCells:
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}
