package leader

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
)

// flood is the context of a job that puts the next one like it into the queue as it is decided:
// refusals that come as fast as they are answered.
type flood struct {
	context.Context //nolint:containedctx // it stands for a request's
	t               *term
	left            *atomic.Int64 // until it is over, so that a planner that never ends fails and does not hang
	costs           time.Duration // of one decision
}

// Err is asked once for each decision.
func (f *flood) Err() error {
	if f.left.Add(-1) > 0 {
		f.t.queue <- f.job()
	}
	time.Sleep(f.costs)
	return nil
}

func (f *flood) job() *job {
	g := grant(4001) // more than any cell has
	return &job{ctx: f, grant: &g, to: newAsked(1)}
}

// TestRefusalsEndAnEntry: what is ready is not kept from the log by refusals behind it, however
// fast they come and whatever they cost.
func TestRefusalsEndAnEntry(t *testing.T) {
	const many = 20_000
	for _, tt := range []struct {
		name  string
		costs time.Duration
		most  int
	}{
		{"cheap", 0, maxDecide},
		{"dear", time.Millisecond, int(decideFor/time.Millisecond) + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.ready("c1")
				term := &term{cfg: r.l.cfg, queue: make(chan *job, 2), booked: newBookings()} // nobody else reads its queue
				var left atomic.Int64
				left.Store(many)
				f := &flood{Context: r.t.Context(), t: term, left: &left, costs: tt.costs}
				ready := &job{ctx: r.t.Context(), cmd: fsm.Tick{}, to: newAsked(1)}
				group, rest := term.collect([]*job{ready, f.job(), f.job()}, rosters{})
				if decided := many - int(left.Load()); len(group) != 1 || len(rest) != 1 || decided > tt.most {
					r.t.Errorf("%d refusals were decided for an entry of %d, %d are left for the next; want at most %d, 1 and 1", decided, len(group), len(rest), tt.most)
				}
			})
		})
	}
}

// TestRefusalsStarveNobody: with a queue that never ends a lease is freed at once.
func TestRefusalsStarveNobody(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		id := r.admit(grant(500)).Leases[0]
		var left atomic.Int64
		left.Store(5000)
		f := &flood{Context: r.t.Context(), t: r.l.term.Load(), left: &left, costs: time.Millisecond}
		f.t.queue <- f.job()
		f.t.queue <- f.job()             // the one that is taken while the other is decided
		time.Sleep(3 * time.Millisecond) // the planner is among them
		began := time.Now()
		r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: id, Reason: "done"})
		if took := time.Since(began); took > 4*decideFor || left.Load() < 4000 {
			r.t.Errorf("freed after %s, %d refusals before the end", took, left.Load())
		}
	})
}

// TestRefusedAlike: requests for the same get the same explanation, each its own, and a new one
// when something was given away in between.
func TestRefusedAlike(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		d := r.l.term.Load().newDesk(rosters{})
		refused := func(g fsm.GrantLeases) *api.Error {
			j := &job{ctx: r.t.Context(), grant: &g, to: newAsked(1)}
			if d.decide(j) {
				r.t.Fatal("it was granted")
			}
			return j.to.wait(r.t.Context())[0].err
		}
		one, two := refused(grant(4001)), refused(grant(4001))
		if one == two || one.Error() != two.Error() || !slices.EqualFunc(one.Candidates, two.Candidates, sameCandidate) || len(d.refused) != 1 {
			r.t.Errorf("%+v and %+v of %d explanations", one, two, len(d.refused))
		}
		g := grant(500)
		if !d.decide(&job{ctx: r.t.Context(), grant: &g, to: newAsked(1)}) {
			r.t.Fatal("it was refused")
		}
		if len(d.refused) != 0 {
			r.t.Error("an explanation outlives the desk that it was of")
		}
	})
}

func sameCandidate(a, b api.Candidate) bool {
	return a.CellID == b.CellID && len(a.Vetoes) == len(b.Vetoes)
}

// waitingForHeartbeat makes a cell that is well, but whose last heartbeat is too old to stamp a
// grant, asks for one, and returns the channel of its outcome and how often the desk was asked.
func (r *rig) waitingForHeartbeat() (done chan outcome, looks *atomic.Int64) {
	r.t.Helper()
	r.ready("c1", "c2")
	r.mute["c1"], r.mute["c2"] = true, true
	time.Sleep(rumor.StampLife + time.Second)
	done, looks = make(chan outcome, 1), &atomic.Int64{}
	go func() {
		var o outcome
		o.res, o.err = r.l.Admit(counted{r.t.Context(), looks}, grant(500))
		done <- o
	}()
	synctest.Wait()
	if n := looks.Load(); n != 1 || len(done) != 0 {
		r.t.Fatalf("%d looks, %d outcomes: it does not wait", n, len(done))
	}
	return done, looks
}

// counted counts the decisions of a job: each asks its context once whether anybody waits.
type counted struct {
	context.Context //nolint:containedctx // it stands for a request's
	n               *atomic.Int64
}

// Err is asked by the desk, and by nobody else while the context is alive and counts.
func (c counted) Err() error {
	if pc, _, _, ok := runtime.Caller(1); ok && strings.HasSuffix(runtime.FuncForPC(pc).Name(), "(*desk).decide") {
		c.n.Add(1)
	}
	return c.Context.Err()
}

// TestAdmissionWaitsForAHeartbeat: where only a heartbeat is missing, the admission is decided
// again when one comes, and not before.
func TestAdmissionWaitsForAHeartbeat(t *testing.T) {
	t.Run("it comes", func(t *testing.T) {
		bubble(t, func(r *rig) {
			done, looks := r.waitingForHeartbeat()
			time.Sleep(time.Second)
			began := time.Now()
			r.mute["c1"] = false
			r.beat()
			o := <-done
			if took := time.Since(began); o.err != nil || took > 0 || looks.Load() != 2 {
				r.t.Errorf("after %s and %d looks: %v", took, looks.Load(), o.err)
			}
		})
	})
	t.Run("another scheduler tells", func(t *testing.T) {
		bubble(t, func(r *rig) {
			done, looks := r.waitingForHeartbeat()
			other := rumor.NewTable("s2", time.Now)
			other.Heartbeat("c2", r.cells["c2"], api.Heartbeat{Seq: 99, Stamp: api.Stamp{BootID: "boot", BootTime: 99}}, limit)
			time.Sleep(time.Second)
			began := time.Now()
			r.table.Merge(other.Local())
			o := <-done
			if took := time.Since(began); o.err != nil || took > 0 || looks.Load() != 2 {
				r.t.Errorf("after %s and %d looks: %v", took, looks.Load(), o.err)
			}
		})
	})
	t.Run("others come, many of them", func(t *testing.T) {
		bubble(t, func(r *rig) {
			done, looks := r.waitingForHeartbeat()
			for i := range 1000 {
				r.table.Heartbeat(api.CellID(fmt.Sprint("x", i)), 1, api.Heartbeat{Seq: 1, Stamp: api.Stamp{BootID: "boot"}}, limit)
				time.Sleep(time.Millisecond)
			}
			if n := looks.Load(); n > int64(time.Second/stampPause)+2 {
				r.t.Errorf("%d looks in a second", n)
			}
			<-done
		})
	})
	t.Run("none comes", func(t *testing.T) {
		bubble(t, func(r *rig) {
			done, looks := r.waitingForHeartbeat()
			began := time.Now()
			o := <-done
			if took := time.Since(began); !unheard(o.err) || took != stampHold || looks.Load() != 2 {
				r.t.Errorf("after %s and %d looks: %v", took, looks.Load(), o.err)
			}
		})
	})
	t.Run("the term ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.start()
			done, _ := r.waitingForHeartbeat()
			began := time.Now()
			r.stop()
			o := <-done
			if took := time.Since(began); api.KindOf(o.err) != api.NoLeader || took > stampPause {
				t.Errorf("after %s: %v", took, o.err)
			}
		})
	})
}
