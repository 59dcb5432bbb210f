package cellagent

import (
	"context"
	"fmt"
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
		do(r.outbox, f.asked, failed)
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
