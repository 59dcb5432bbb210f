package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// TestDebug: the bundle has something of everything from every scheduler that answers, also
// when one is dead, and not one secret of the cluster, of a tenant or of a run.
func TestDebug(t *testing.T) {
	c := up(t, 1)
	secrets := secretsOf(t, c)
	dead := followerOf(t, c).Name
	gone := nodeID(t, c, dead)
	if err := c.Kill(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.Dir(), "bundle.tar.gz")
	var answer struct {
		Schedulers []struct {
			Node  api.NodeID `json:"node_id"`
			Error string     `json:"error"`
		} `json:"schedulers"`
	}
	if err := c.JSON(t.Context(), &answer, "operator", "debug", file); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, file)
	for _, s := range answer.Schedulers {
		if (s.Error != "") != (s.Node == gone) {
			t.Errorf("%s: %s", s.Node, s.Error)
			continue
		}
		if s.Node == gone {
			continue
		}
		for name, want := range map[string]string{
			"state.json": `"applied_index"`, "raft.json": `"last_log_index"`, "config.json": `"raft_bind"`, "build.json": `"go"`,
			"events.json": `"lease_granted"`, "log.txt": "scheduler started", "goroutines.txt": "goroutine ", "metrics.txt": "grafos_raft_applied_index",
		} {
			if got := files[path.Join("grafos-debug", string(s.Node), name)]; !strings.Contains(got, want) {
				t.Errorf("%s of %s has no %q: %.200s", name, s.Node, want, got)
			}
		}
	}
	if !strings.Contains(files["grafos-debug/members.json"], `"failures_tolerated"`) {
		t.Errorf("members: %.200s", files["grafos-debug/members.json"])
	}
	for name, content := range files {
		for what, secret := range secrets {
			if strings.Contains(content, secret) {
				t.Errorf("%s holds %s", name, what)
			}
		}
	}
}

// unpack reads a tar.gz into memory.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
	}
}

// secretsOf makes one secret of each kind, lets the cluster see it, and returns them in the
// forms that they could be printed in.
func secretsOf(t *testing.T, c *harness.Cluster) map[string]string {
	t.Helper()
	secrets := map[string]string{}
	keys, err := filepath.Glob(filepath.Join(c.DevDir(), "material", "*key*"))
	if err != nil || len(keys) < 3 {
		t.Fatal(keys, err)
	}
	for _, key := range keys {
		b, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			if !strings.HasPrefix(line, "-----") && line != "" {
				secrets[filepath.Base(key)+" line "+string(rune('0'+i))] = line
			}
		}
	}
	m, err := c.Material()
	if err != nil {
		t.Fatal(err)
	}
	secrets["the gossip key in base64"] = base64.StdEncoding.EncodeToString(m.GossipKey)
	secrets["the gossip key in hex"] = hex.EncodeToString(m.GossipKey)
	secrets["the gossip key"] = string(m.GossipKey)

	var set api.GrantSet
	if err := c.JSON(t.Context(), &set, "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "5m"); err != nil {
		t.Fatal(err)
	}
	secrets["a capability token"] = set.Leases[0].Token
	var boot struct {
		Token string `json:"token"`
	}
	if err := c.JSON(t.Context(), &boot, "admin", "bootstrap-token", "--provider", "local", "--cell-id", "local-9"); err != nil {
		t.Fatal(err)
	}
	secrets["a bootstrap token"] = boot.Token
	const canary = "canary-3f7c1b"
	module := guest(t, "echo")
	if _, err := c.RunInput(t.Context(), []byte("input-"+canary), "deploy", "run", "--module", module, "--provider", "local", "--input", "-",
		"--env", "SECRET=env-"+canary, "--json", "--", "arg-"+canary); err != nil {
		t.Fatal(err)
	}
	secrets["what a run was given"] = canary
	// What was said of them on the way, such as a token that is refused.
	token := filepath.Join(c.Dir(), "token")
	if err := os.WriteFile(token, []byte(boot.Token+"x"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	said, err := c.Exec(t.Context(), nil, "cloud", "bootstrap-cell", "--provider", "local", "--cell-id", "local-9", "--token-file", token,
		"--scheduler", status.Schedulers[0].URL, "--dir", filepath.Join(c.Dir(), "cell"))
	if err != nil || said.Code == 0 {
		t.Errorf("a forged token: %v, exit %d", err, said.Code)
	}
	for what, secret := range secrets {
		if len(secret) < 8 {
			t.Errorf("%s is %q", what, secret)
		}
	}
	return secrets
}
