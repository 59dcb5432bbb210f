package integration

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/integration/internal/harness"
)

// TestUpgrade rolls three schedulers to a release that knows one feature level more, under
// load: two up, both down again, then all of them. The level is raised when the last one knows
// it, by itself, and not before; from then on the old release refuses to start, and says why.
// No client sees an error.
func TestUpgrade(t *testing.T) {
	c := up(t, 2)
	next := filepath.Join(t.TempDir(), "grafos")
	if err := harness.Build(t.Context(), next, "../cmd/grafos", "CGO_ENABLED=0", "GOFLAGS=-tags=nextlevel"); err != nil {
		t.Fatal(err)
	}
	newer := harness.At(next, c.Dir())
	w := newWorkload(t, c)
	stop := w.start(t.Context())
	defer stop()
	level := func() uint32 { return raftMembers(t, c).Level }

	for _, step := range []struct {
		by   *harness.Cluster
		node string
	}{{newer, "s1"}, {newer, "s2"}, {c, "s1"}, {c, "s2"}} {
		roll(t, step.by, step.node)
		if got := level(); got != 2 {
			t.Fatalf("feature level %d while one of the schedulers is of the old release", got)
		}
	}
	for _, node := range []string{"s1", "s2", "s3"} {
		roll(t, newer, node)
	}
	eventually(t, 20*time.Second, func() string {
		if level() != 3 {
			return "the feature level is not raised"
		}
		return ""
	})
	for range 10 {
		<-w.history.next() // the new leader writes what only the new level has
	}
	stop()
	settle(t.Context(), t, w)
	checkPromises(t.Context(), t, c, w)
	chain := checkAgreement(t, c)
	// Each level is raised to once: the one that the old release knows, and the new one's.
	if raised, probes := countKind(chain, "level_raised"), countKind(chain, "probe"); raised != 2 || probes == 0 {
		t.Errorf("%d records of a raised level, %d of what came with it", raised, probes)
	}

	if err := newer.Kill(t.Context(), "s1"); err != nil {
		t.Fatal(err)
	}
	said, err := c.Exec(t.Context(), nil, devArgs(t, c, "s1")...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"feature level 3", "knows levels 1 to 2", "run a release that knows it"} {
		if said.Code != 1 || !strings.Contains(string(said.Stderr), want) {
			t.Errorf("the old release: exit %d, %q is not said: %s", said.Code, want, said.Stderr)
		}
	}
}

// roll replaces a scheduler by one of another release, as an upgrade does: it is asked to stop,
// and the next one waits until it is back and healthy.
func roll(t *testing.T, by *harness.Cluster, node string) {
	t.Helper()
	began := time.Now()
	if err := by.Restart(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	wantGroup(t, by, "s1 s2 s3")
	t.Logf("%s replaced in %s", node, time.Since(began).Round(time.Millisecond))
}
