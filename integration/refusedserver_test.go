package integration

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestRefusedServerLeavesNothing: a scheduler with settings that cannot be is refused, and leaves
// nothing in its data directory: it would be taken for one that has begun.
func TestRefusedServerLeavesNothing(t *testing.T) {
	t.Parallel()
	material := filepath.Join(t.TempDir(), "material")
	if out, err := exec.CommandContext(t.Context(), binary(t), "admin", "init-ca", "--out", material).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	usual := []string{
		"--name", "s1", "--material", material, "--bind", "127.0.0.1:0", "--raft-bind", "127.0.0.1:0", "--gossip-bind", "127.0.0.1:0", "--bootstrap-expect", "1",
		"--advertise", "127.0.0.1:7490", "--raft-advertise", "127.0.0.1:7491", "--gossip-advertise", "127.0.0.1:7492",
	}
	for _, bad := range [][]string{
		{"--name", "a b"},
		{"--log-store", "tape"},
		{"--snapshot-bytes", "1"},
		{"--log-level", "loud"},
		{"--on-damage", "shrug"},
		{"--bind", "nowhere"},
		{"--raft-bind", "127.0.0.1:99999"},
		{"--gossip-bind", "nowhere"},
		{"--advertise", "0.0.0.0:7490"},
		{"--raft-bind", "127.0.0.1:7491", "--raft-advertise", "127.0.0.1:0"},
		{"--gossip-advertise", "127.0.0.1:99999"},
		{"--advertise", "not_a_host!:7490"},
		{"--bootstrap-expect", "0"},
		{"--bootstrap-expect", "2"},
		{"--bootstrap-expect", "7"},
		{"--join", "s2"},
		{"--providers", "a b"},
		{"--heartbeat", "20s"},
		{"--warmup", "-1s"},
		{"--stable", "0"},
		{"--raft-heartbeat", "100ms"},
		{"--raft-lease", "600ms"},
		{"--snapshot-every", "1h"},
		{"--debug-bind", "0.0.0.0:6060"},
		{"--debug-bind", "127.0.0.1:99999"},
		{"--bootstrap-trust", filepath.Join(material, "none.toml")},
		{"--bootstrap-trust", filepath.Join(material, "ca.pem")},
	} {
		dir := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // one that is not refused runs on
		cmd := exec.CommandContext(ctx, binary(t), append(append([]string{"server", "--data-dir", dir, "--json"}, usual...), bad...)...)
		_, err := cmd.Output()
		cancel()
		var p api.Error
		exit, ended := err.(*exec.ExitError) //nolint:errorlint // Output returns it as it is
		if !ended || exit.ExitCode() != 2 || json.Unmarshal(exit.Stderr, &p) != nil || p.Kind != api.InvalidArgument {
			t.Errorf("%q: %v, %+v", bad, err, p)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%q leaves %v, %v", bad, left, err)
		}
	}
}
