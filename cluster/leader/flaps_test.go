package leader

import (
	"slices"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// TestFlapping: a cell that comes and goes has to be steady for longer each time, and is trusted again
// when it has been quiet for long.
func TestFlapping(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1", "c2")
		fall := func() {
			r.mute["c1"] = true
			r.pass(limit + 2*time.Second)
			if r.record("c1").Healthy.Met {
				r.t.Fatal("it did not fall")
			}
			r.mute["c1"] = false
		}
		for range flapsAt - 1 {
			fall()
			r.pass(warmup + 2*beat)
			if !r.record("c1").Healthy.Met {
				r.t.Fatalf("not back after the warm-up: %+v", r.record("c1").Healthy)
			}
		}
		fall()
		r.pass(warmup + 3*time.Second)
		if c := r.record("c1").Healthy; c.Met || c.Code != fsm.CodeFlapping {
			r.t.Errorf("after %d falls it is %+v", flapsAt, c)
		}
		if rec := r.record("c1"); r.m.View().CellState(rec) != api.CellUnhealthy {
			r.t.Errorf("a flapping cell is %s", r.m.View().CellState(rec))
		}
		r.pass(warmup + beat)
		if c := r.record("c1").Healthy; !c.Met {
			r.t.Errorf("after twice the warm-up it is %+v", c)
		}
		if !r.record("c2").Healthy.Met {
			r.t.Error("another cell flaps with it")
		}
		r.pass(6 * flapHalf)
		fall()
		r.pass(warmup + 2*beat)
		if c := r.record("c1").Healthy; !c.Met {
			r.t.Errorf("after a quiet half hour it is %+v", c)
		}
	})
}

func TestFlaps(t *testing.T) {
	at := time.Now()
	m := flaps{}
	cell := api.CellRecord{ID: "c1", Healthy: api.Condition{Met: true}}
	look := func(met bool, code string) int {
		cell.Healthy = api.Condition{Met: met, Code: code}
		at = at.Add(time.Second)
		return m.see(&cell, at)
	}
	for range 5 {
		look(true, "")
		look(false, massSilenceCode) // nobody's own fault
	}
	if n := look(true, ""); n != 0 {
		t.Errorf("mass silence counts %d falls", n)
	}
	for range 20 {
		look(true, "")
		look(false, overdueCode)
	}
	if n := look(true, ""); n < 15 || longer(time.Second, n) != flapMost*time.Second {
		t.Errorf("%d falls, the warm-up is %s", n, longer(time.Second, n))
	}
	if longer(time.Second, flapsAt-1) != time.Second || longer(time.Second, flapsAt) != 2*time.Second || longer(time.Second, flapsAt+1) != 4*time.Second {
		t.Error("the warm-up does not double")
	}
	// Another leader knows from the state that a cell flaps.
	cell.Healthy = api.Condition{Code: fsm.CodeFlapping}
	if n := (flaps{}).see(&cell, at); n != flapsAt {
		t.Errorf("a new leader counts %d", n)
	}
	m.forget(at.Add(time.Second))
	if len(m) != 0 {
		t.Error("a cell that is gone is remembered")
	}
}

// TestCertificateLapses: the two ends of a certificate have codes of their own.
func TestCertificateLapses(t *testing.T) {
	end := time.Now()
	f := facts{rec: &api.CellRecord{Identity: api.Identity{SPKI: "ab", NotAfter: end.Unix()}}}
	for after, want := range map[time.Duration]string{
		-time.Hour: "", time.Hour: fsm.CodeCertificateExpired, 6 * 24 * time.Hour: fsm.CodeCertificateExpired, 8 * 24 * time.Hour: fsm.CodeCertificateLapsed,
	} {
		f.wall = end.Add(after)
		if got := judgeIdentity(f).Code; got != want {
			t.Errorf("%s after its end: %q, want %q", after, got, want)
		}
	}
}

// TestSilentProvidersAreNotTriedAgain: while most of a provider is silent, its lost runs wait; not for
// ever, since cells that stay silent are gone.
func TestSilentProvidersAreNotTriedAgain(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		runs := []api.Run{{ID: "r1", Provider: "aws"}, {ID: "r2", Provider: "gcp"}}
		lead, waiting := &term{cfg: r.l.cfg}, vigil{}
		waiting.keep(runs, lead.cfg.Clock.Now())
		without := func() []api.Run { return lead.withoutSilent(r.m.View(), slices.Clone(runs), waiting) }
		if left := without(); len(left) != 2 {
			r.t.Errorf("left are %v", left)
		}
		r.must(fsm.RaiseLevel{Level: 2})
		r.must(fsm.ChangeHealth{Changes: []fsm.HealthChange{{Cell: "c1", Epoch: r.cells["c1"], Healthy: &api.Condition{Code: massSilenceCode}}}})
		if left := without(); len(left) != 1 || left[0].ID != "r2" {
			r.t.Errorf("left are %v", left)
		}
		time.Sleep(minWait)
		if left := without(); len(left) != 2 {
			r.t.Errorf("after %s left are %v", minWait, left)
		}
	})
}
