package integration

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestBlockSurvivesItsAgent: what is in a block stays there when its agent is killed, and when it is
// stopped, and started again; its holder goes on with a fresh token until it gives the lease back, and
// then the file is gone.
func TestBlockSurvivesItsAgent(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := up(t, 1)
	ctx := t.Context()
	if err := c.Kill(ctx, "local-1"); err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, c, "local-1", nil)
	var set api.GrantSet
	eventually(t, 30*time.Second, func() string {
		if err := c.JSON(ctx, &set, "lease", "request", "--provider", "local", "--block", "1M", "--ttl", "10m"); err != nil {
			return err.Error()
		}
		return ""
	})
	id := string(set.Leases[0].ID)
	if _, err := c.RunInput(ctx, []byte("it stays"), "lease", "write", id, "--offset", "700"); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"killed", "stopped"} {
		if how == "killed" {
			a.kill()
		} else {
			a.stop()
		}
		a = startAgent(t, c, "local-1", nil)
		eventually(t, 20*time.Second, func() string {
			got, err := c.Run(ctx, "lease", "read", id, "--offset", "700", "--length", "8")
			if err != nil {
				return how + ": " + err.Error()
			}
			if string(got) != "it stays" {
				t.Fatalf("%s: in it is %q", how, got)
			}
			return ""
		})
	}
	blocks := filepath.Join(c.DevDir(), "nodes", "local-1", "data", "bindings", "*.block")
	if files, err := filepath.Glob(blocks); err != nil || len(files) != 1 {
		t.Errorf("its files are %v, %v", files, err)
	}
	if _, err := c.Run(ctx, "lease", "free", id, "--yes"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		if files, err := filepath.Glob(blocks); err != nil || len(files) != 0 {
			return fmt.Sprintf("left are %v, %v", files, err)
		}
		return ""
	})
}
