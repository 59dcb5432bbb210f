package cellagent

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// asked is a report that waits for its answer.
type asked struct {
	api.Report
	answer chan error
}

// slowFabric answers reports when it is told to.
type slowFabric struct {
	Fabric
	asked chan asked
}

func (f slowFabric) Report(ctx context.Context, _ api.ProviderID, _ api.CellID, r api.Report) (*api.ReportAnswer, error) {
	a := asked{r, make(chan error)}
	f.asked <- a
	select {
	case err := <-a.answer:
		return &api.ReportAnswer{}, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reporting runs a reporter whose outbox holds n bindings.
func reporting(t *testing.T, n int, do func(o *outbox, asked <-chan asked, failed <-chan sessionError)) {
	t.Helper()
	reportingOn(t, n, func(o *outbox, _ *beacon, asked <-chan asked, failed <-chan sessionError) { do(o, asked, failed) })
}

func reportingOn(t *testing.T, n int, do func(o *outbox, b *beacon, asked <-chan asked, failed <-chan sessionError)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := slowFabric{asked: make(chan asked, 10)}
		failed := make(chan sessionError, 10)
		r := &reporter{
			provider: "p", cell: "c", clock: newFakeClock(), beacon: newBeacon(), outbox: newOutbox(), bind: bindAll,
			stuck: func() string { return "" }, settled: func(api.Report, *api.ReportAnswer) {}, failed: failed, log: hclog.NewNullLogger(),
		}
		r.timers.Store(&timers{heartbeat: time.Hour, bound: time.Hour})
		for i := range n {
			r.outbox.putBound(api.LeaseID(fmt.Sprint("l", i)))
		}
		r.beacon.show(&watch{link: &link{fabric: f}, over: make(chan struct{})})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.run(ctx) })
		synctest.Wait()
		do(r.outbox, r.beacon, f.asked, failed)
		cancel()
		wg.Wait()
	})
}

// TestFullReportsGoSideBySide: a second report goes while one is under way when it is full, and
// nothing is in both; what does not fill one waits.
func TestFullReportsGoSideBySide(t *testing.T) {
	const rest = 88
	reporting(t, 2*api.MaxReportItems+rest, func(o *outbox, reports <-chan asked, _ <-chan sessionError) {
		if len(reports) != 2 {
			t.Fatalf("%d reports are under way, want 2", len(reports))
		}
		one, two := <-reports, <-reports
		seen := map[api.LeaseID]bool{}
		for _, b := range append(one.Bound, two.Bound...) {
			seen[b.LeaseID] = true
		}
		if len(seen) != 2*api.MaxReportItems {
			t.Errorf("both report %d bindings, want %d", len(seen), 2*api.MaxReportItems)
		}
		two.answer <- nil
		synctest.Wait()
		if len(reports) != 0 {
			t.Error("a report that is not full goes beside another")
		}
		one.answer <- nil
		synctest.Wait()
		three := <-reports
		if len(three.Bound) != rest {
			t.Errorf("%d bindings in the last report, want %d", len(three.Bound), rest)
		}
		// What comes while it is under way fills another one.
		for i := range api.MaxReportItems {
			o.putEnded(api.EndedReport{LeaseID: api.LeaseID(fmt.Sprint("e", i))}, "")
		}
		synctest.Wait()
		four := <-reports
		if len(four.Ended) != api.MaxReportItems {
			t.Errorf("%d ends in the report beside it, want %d", len(four.Ended), api.MaxReportItems)
		}
		three.answer <- nil
		four.answer <- nil
		synctest.Wait()
		if !o.empty() || len(reports) != 0 {
			t.Error("something waits or is under way after everything was confirmed")
		}
	})
}

// TestReportsThatFailTogether: what they carried is said again, and they are one failure.
func TestReportsThatFailTogether(t *testing.T) {
	reporting(t, 2*api.MaxReportItems, func(o *outbox, reports <-chan asked, failed <-chan sessionError) {
		for round := range reportFailures {
			if len(reports) != 2 {
				t.Fatalf("round %d: %d reports are under way, want 2", round, len(reports))
			}
			if len(failed) != 0 {
				t.Fatalf("round %d: the session is given up", round)
			}
			for range 2 {
				(<-reports).answer <- api.Refuse(api.NoLeader, "no leader")
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if len(failed) != 1 {
			t.Errorf("the session is given up %d times after %d failures", len(failed), reportFailures)
		}
		for len(reports) > 0 {
			(<-reports).answer <- nil
			synctest.Wait()
		}
		if !o.empty() {
			t.Error("something was lost")
		}
	})
}

// TestFailuresAreCounted: where reports fail one after the other, with another one beside them and
// new things to say all the time, the session is given up after reportFailures.
func TestFailuresAreCounted(t *testing.T) {
	reporting(t, 2*api.MaxReportItems, func(o *outbox, reports <-chan asked, failed <-chan sessionError) {
		fail := func(a asked) {
			a.answer <- api.Refuse(api.NoLeader, "no leader")
			synctest.Wait()
		}
		one, two := <-reports, <-reports
		fail(one)
		o.putBound("more")
		synctest.Wait()
		if len(reports) != 0 {
			t.Fatal("a report goes before the pause is over")
		}
		time.Sleep(time.Minute) // of fake time: the pause is over, and the second one still hangs
		synctest.Wait()
		three := <-reports
		fail(two) // it was under way when the first one failed
		if len(failed) != 0 {
			t.Fatal("given up after one failure")
		}
		fail(three)
		if len(failed) != 1 {
			t.Errorf("given up %d times after %d failures", len(failed), reportFailures)
		}
	})
}

// TestNothingBesideIsNoReport: ends that must not overtake what is under way are no reason for a
// report without anything in it.
func TestNothingBesideIsNoReport(t *testing.T) {
	reporting(t, 0, func(o *outbox, reports <-chan asked, _ <-chan sessionError) {
		(<-reports).answer <- nil // the first heartbeat
		synctest.Wait()
		for i := range api.MaxReportItems {
			var ends []api.EndedReport
			for k := range 4 {
				ends = append(ends, api.EndedReport{LeaseID: api.LeaseID(fmt.Sprint("l", i, "/", k))})
			}
			o.putRun(api.RunReport{RunID: api.RunID(fmt.Sprint("r", i)), State: api.RunSucceeded}, ends...)
		}
		synctest.Wait()
		for said := 0; said < 4*api.MaxReportItems; {
			if len(reports) == 0 {
				t.Fatalf("%d ends were said, and nothing is under way", said)
			}
			var all []asked
			for len(reports) > 0 {
				all = append(all, <-reports)
			}
			for _, a := range all {
				if len(a.Ended)+len(a.Runs) == 0 {
					t.Fatalf("a report without anything after %d ends", said)
				}
				said += len(a.Ended)
				a.answer <- nil
			}
			synctest.Wait()
		}
	})
}

// TestNoPauseForTheSessionBefore: what was under way on the session before is no failure of the new one,
// which hears at once, whatever became of it.
func TestNoPauseForTheSessionBefore(t *testing.T) {
	for _, end := range []string{"over", "answered"} {
		reportingOn(t, 2*api.MaxReportItems, func(_ *outbox, b *beacon, reports <-chan asked, failed <-chan sessionError) {
			old, _ := b.see()
			one, two := <-reports, <-reports
			b.show(&watch{link: &link{fabric: old.fabric}, over: make(chan struct{})})
			synctest.Wait()
			began := time.Now()
			if end == "over" {
				close(old.over)
			} else {
				one.answer <- nil
				two.answer <- nil
			}
			synctest.Wait()
			if len(reports) == 0 || time.Since(began) != 0 {
				t.Errorf("%s: %d reports on the new session after %v", end, len(reports), time.Since(began))
			}
			if len(failed) != 0 {
				t.Errorf("%s: the new session is given up", end)
			}
		})
	}
}

// TestPoisonGetsOut: one item for which whole reports are refused is found and dropped although
// there is always more to say, and nothing else is.
func TestPoisonGetsOut(t *testing.T) {
	const poison = "l7"
	reporting(t, 3*api.MaxReportItems, func(o *outbox, reports <-chan asked, _ <-chan sessionError) {
		said := map[api.LeaseID]bool{}
		for round := 0; o.bound.at(poison) != nil; round++ {
			if round == 50 {
				t.Fatalf("%d are said after %d rounds, and it is still there", len(said), round)
			}
			for len(reports) > 0 {
				a := <-reports
				bad := slices.ContainsFunc(a.Bound, func(b api.BoundReport) bool { return b.LeaseID == poison })
				for _, b := range a.Bound {
					said[b.LeaseID] = said[b.LeaseID] || !bad
					if !bad {
						o.putBound(b.LeaseID + "'") // there is always more to say
					}
				}
				var err error
				if bad {
					err = api.Refuse(api.InvalidArgument, "poison")
				}
				a.answer <- err
				if round%2 == 0 {
					synctest.Wait()
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		for i := range 3 * api.MaxReportItems {
			if id := api.LeaseID(fmt.Sprint("l", i)); id != poison && !said[id] && o.bound.at(id) == nil {
				t.Errorf("binding %s was dropped with it", id)
			}
		}
	})
}
