package cellagent

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// usedNet is a network that was used.
type usedNet struct {
	work.Net
	used api.NetUsage
}

func (n *usedNet) Usage() api.NetUsage { return n.used }

// TestNetOfRun: a run has the network of its net lease and no other, what went through is reported with its result, and
// its flows are closed at its end, not when its worker is dead at last.
func TestNetOfRun(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.host.net = &usedNet{used: api.NetUsage{BytesOut: 5, Flows: 1}}
		jobs := make(chan work.Job, 2)
		const dying = 300 * time.Millisecond
		b.runner.do = func(ctx context.Context, j work.Job) work.Outcome {
			jobs <- j
			if j.Run == "r2" {
				<-ctx.Done()
				time.Sleep(dying)
				return work.Outcome{State: api.RunExpired}
			}
			return succeed(ctx, j)
		}
		b.place("r0", time.Minute)
		synctest.Wait()
		if j := <-jobs; j.Net != nil {
			t.Error("a run without a net lease has a network")
		}
		net := func(r *api.Run) {
			r.Resources.Net = 1000
			r.LeaseIDs = append(r.LeaseIDs, r.LeaseIDs[0][:2]+"-net")
		}
		b.place("r1", time.Minute, net)
		synctest.Wait()
		if j := <-jobs; j.Net == nil {
			t.Error("a run with a net lease has no network")
		}
		var response api.Response
		if err := json.Unmarshal([]byte(b.artifact(b.cluster.run("r1"), api.ArtifactResponse)), &response); err != nil || response.Net == nil || response.Net.BytesOut != 5 {
			t.Errorf("the response says %+v, %v", response.Net, err)
		}
		var reported *api.NetUsage
		for _, report := range b.cluster.reports {
			for _, r := range report.Runs {
				if r.RunID == "r1" && r.State == api.RunSucceeded {
					reported = r.Net
				}
			}
		}
		if reported == nil || *reported != (api.NetUsage{BytesOut: 5, Flows: 1}) {
			t.Errorf("it is reported as %+v", reported)
		}
		end := b.clock.Now() + int64(time.Minute)
		b.place("r2", time.Minute, net)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if late := time.Duration(b.host.halted["r2-net"] - end); late < 0 || late > time.Millisecond {
			t.Errorf("its flows are closed %s after the deadline", late)
		}
		if late := time.Duration(b.host.closed["r2-net"] - end); late < dying {
			t.Errorf("it is torn down %s after the deadline, before its worker is dead", late)
		}
	})
}
