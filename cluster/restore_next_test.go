//go:build nextlevel

package cluster

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// olderPeer says that it is of the release before.
type olderPeer struct{ Peer }

func (o olderPeer) Member(ctx context.Context) (*api.MemberState, error) {
	st, err := o.Peer.Member(ctx)
	if err == nil {
		st.Level = uint32(fsm.NewestLevel) - 1
	}
	return st, err
}

// TestRestorePastLevel: a state of a feature level that this release knows, and that the cluster
// is not at yet, is refused: a member of the release before could not read it. The bytes are
// those of pastLevel, which the release before is tried with.
func TestRestorePastLevel(t *testing.T) {
	t.Parallel()
	r := newRigOf(t, 3, func(c *Config) { // each sees the others as of the release before: nobody raises the level
		dial := c.Dial
		c.Dial = func(url string) (Peer, error) {
			p, err := dial(url)
			return olderPeer{p}, err
		}
	})
	r.write("a")
	eventually(t, "the cluster is at the level of the release before", func() bool { return r.leader().machine.View().Level() == fsm.NewestLevel-1 })
	saved := fsm.New(fsm.Options{Log: hclog.NewNullLogger()})
	saved.Apply(command(t, 1, fsm.InitCluster{ClusterID: r.material.ClusterID}))
	saved.Apply(command(t, 2, fsm.RaiseLevel{Level: fsm.NewestLevel}))
	if got := saved.View().Level(); got != fsm.NewestLevel {
		t.Fatalf("the state is of feature level %d", got)
	}
	if file := os.Getenv("GRAFOS_WRITE_PAST_LEVEL"); file != "" {
		var b bytes.Buffer
		if err := writeState(&b, saved.View(), nil); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, dry := range []bool{true, false} {
		var err error
		eventually(t, "it is answered", func() bool {
			_, err = r.leader().node.Restore(t.Context(), Restore{ID: "rst-1", DryRun: dry, State: state(t, saved.View())})
			return api.KindOf(err) != api.NoLeader
		})
		p, is := api.AsError(err)
		if !is || p.Kind != api.Conflict || !strings.Contains(p.Detail, "of feature level 3, the cluster is at 2") || p.Hint == "" {
			t.Errorf("dry run %v: %v", dry, err)
		}
	}
	r.wantRead("a")
}
