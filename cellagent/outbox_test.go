package cellagent

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func bindAll(ids []api.LeaseID) (all []api.BoundReport, stale []api.LeaseID) {
	for _, id := range ids {
		all = append(all, api.BoundReport{LeaseID: id})
	}
	return all, nil
}

// TestOutboxSaysEverythingInOrder puts random things, has two reports under way that are committed in
// any order, or not, and whose answers are lost, and checks that everything is said, the newest
// word last, no end of a lease before the result of its run, and none before its binding.
func TestOutboxSaysEverythingInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type flight struct {
			report api.Report
			sent   sent
		}
		o := newOutbox()
		want := map[string]string{} // key -> newest word
		got := map[string]string{}
		bound := map[api.LeaseID]bool{} // and not ended when it was put
		result := map[api.RunID]bool{}  // committed
		var flying []flight
		commit := func(r api.Report) {
			for _, b := range r.Bound {
				if got["e"+string(b.LeaseID)] != "" {
					t.Fatalf("lease %s is bound after its end", b.LeaseID)
				}
				got["b"+string(b.LeaseID)] = "bound"
			}
			for _, l := range r.Progress {
				if got["e"+string(l.LeaseID)] != "" && got["p"+string(l.LeaseID)] == "" {
					t.Fatalf("the progress of lease %s comes after its end", l.LeaseID)
				}
				got["p"+string(l.LeaseID)] = "said"
			}
			for _, run := range r.Runs { // runs are applied before ends
				result[run.RunID] = result[run.RunID] || run.State.Terminal()
				got["r"+string(run.RunID)] = string(run.State)
			}
			for _, e := range r.Ended {
				got["e"+string(e.LeaseID)] = e.Reason
				if run := api.RunID(e.LeaseID); want["r"+string(run)] == string(api.RunSucceeded) && !result[run] {
					t.Fatalf("lease %s ends before the result of its run", e.LeaseID)
				}
			}
		}
		compose := func(limit int) {
			r, s := o.compose(limit, bindAll)
			if len(r.Bound) > limit || len(r.Ended) > limit || len(r.Runs) > limit {
				t.Fatalf("more than %d items", limit)
			}
			if limit == 1 && s.items() > 1 {
				t.Fatalf("%d items in a report of one", s.items())
			}
			flying = append(flying, flight{r, s})
		}
		land := func(at int, committed, answered bool) {
			f := flying[at]
			flying = slices.Delete(flying, at, at+1)
			if committed {
				commit(f.report)
			}
			if committed && answered {
				o.settle(f.sent)
			} else {
				o.again(f.sent)
			}
		}
		for i := range rapid.IntRange(1, 80).Draw(t, "steps") {
			id := fmt.Sprint(rapid.IntRange(0, 8).Draw(t, "id"))
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				reason := fmt.Sprint("lone", i)
				o.dropBound(api.LeaseID("x" + id))
				o.putEnded(api.EndedReport{LeaseID: api.LeaseID("x" + id), Reason: reason}, "")
				want["ex"+id] = reason
			case 1:
				if want["r"+id] == "" {
					o.putRun(api.RunReport{RunID: api.RunID(id), State: api.RunRunning})
					want["r"+id] = string(api.RunRunning)
				}
			case 2:
				reason := fmt.Sprint("run", i)
				o.putRun(api.RunReport{RunID: api.RunID(id), State: api.RunSucceeded}, api.EndedReport{LeaseID: api.LeaseID(id), Reason: reason})
				want["r"+id], want["e"+id] = string(api.RunSucceeded), reason
			case 3:
				if x := api.LeaseID("x" + id); want["ex"+id] == "" && !bound[x] {
					bound[x] = true
					o.putBound(x)
				}
			case 6:
				if x := api.LeaseID("x" + id); want["ex"+id] == "" {
					o.putProgress(api.LeaseProgress{LeaseID: x, State: api.LeaseGraceRunning})
				}
			case 4:
				if len(flying) < inFlight {
					compose(rapid.SampledFrom([]int{1, 2, api.MaxReportItems}).Draw(t, "limit"))
				}
			case 5:
				if len(flying) > 0 {
					land(rapid.IntRange(0, len(flying)-1).Draw(t, "which"), rapid.Bool().Draw(t, "committed"), rapid.Bool().Draw(t, "answered"))
				}
			}
		}
		for !o.empty() || len(flying) > 0 {
			if len(flying) < inFlight && !o.empty() {
				compose(2)
			}
			land(0, true, true)
		}
		for k, w := range want {
			if got[k] != w {
				t.Fatalf("%s was last said as %q, want %q", k, got[k], w)
			}
		}
	})
}

func TestOutboxLeavesOutWhatIsNoLongerBound(t *testing.T) {
	o := newOutbox()
	o.putBound("l1")
	r, s := o.compose(10, func(ids []api.LeaseID) ([]api.BoundReport, []api.LeaseID) { return nil, ids })
	if len(r.Bound) != 0 || s.items() != 0 || !o.empty() {
		t.Fatalf("report %+v, %d items sent, empty %t", r, s.items(), o.empty())
	}
}

func TestOutboxBoundsMinted(t *testing.T) {
	o := newOutbox()
	for i := range 1000 {
		o.putMinted(api.Minted{AskID: fmt.Sprint(i)})
	}
	if r, _ := o.compose(api.MaxReportItems, bindAll); len(r.Minted) != api.MaxReportItems || r.Minted[0].AskID != "744" {
		t.Fatalf("%d answers wait, the oldest is %s", len(r.Minted), r.Minted[0].AskID)
	}
}

// TestOutboxBoundsMintedUnderWay: what a report carries already makes no room for new answers, nor do
// they push one another out meanwhile.
func TestOutboxBoundsMintedUnderWay(t *testing.T) {
	o := newOutbox()
	put := func(from, n int) {
		for i := range n {
			o.putMinted(api.Minted{AskID: fmt.Sprint(from + i)})
		}
	}
	put(0, api.MaxReportItems)
	_, s := o.compose(api.MaxReportItems, bindAll)
	put(1000, api.MaxReportItems+1)
	if r, _ := o.compose(api.MaxReportItems, bindAll); len(r.Minted) != api.MaxReportItems || r.Minted[0].AskID != "1001" {
		t.Fatalf("%d answers wait, the oldest is %s", len(r.Minted), r.Minted[0].AskID)
	}
	o.settle(s)
}
