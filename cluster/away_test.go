package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// TestAway: who was told that it is removed keeps that, also across a restart, until it was a
// member for so long after that the removal must have failed.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, c := raft.NewInmemStore(), clock.System()
		a := newAway(kept, c)
		if a.told() {
			t.Error("told by nobody")
		}
		if err := a.tell(c, api.Dismissal{Actor: "operator/alice"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(removeTime)
		a.outlived(c)
		a = newAway(kept, c) // a restart
		a.outlived(c)
		if by := a.by(); by != " by operator/alice" {
			t.Errorf("it was told%s", by)
		}
		if !a.told() {
			t.Error("it forgot while the removal may come yet")
		}
		time.Sleep(2 * removeTime)
		a.outlived(c)
		if a.told() || newAway(kept, c).told() {
			t.Error("it is a member long after, and would stay away")
		}
	})
}

// TestToldLeader: a leader that was told so, and was not removed, finds that out by itself.
func TestToldLeader(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, 1)
	r.write("a")
	n := r.leader().node
	if err := n.Dismiss(t.Context(), api.Dismissal{}); err != nil {
		t.Fatal(err)
	}
	n.away.turn <- struct{}{}
	n.away.when = time.Now().Add(-time.Hour)
	<-n.away.turn
	n.leadership.bump()
	eventually(t, "it knows that it stays", func() bool { return !n.away.told() })
}
