package pki

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func TestInitMaterialWritesClosedFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "ca")
	made, err := InitMaterial(dir, InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^g-[a-z2-7]{10}$`).MatchString(made.ClusterID) {
		t.Errorf("random cluster id %q", made.ClusterID)
	}
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v; want 0700", st.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		if err != nil || info.Mode() != fs.FileMode(0o600) {
			t.Errorf("%s: mode %v, %v; want 0600", e.Name(), info.Mode(), err)
		}
	}
	if got, want := strings.Join(names, " "), "ca-key.pem ca.pem cluster.json gossip.key jwt-key.pem"; got != want {
		t.Errorf("folder has %q, want %q", got, want)
	}
}

func TestLoadMaterialIsWhatWasMade(t *testing.T) {
	dir := t.TempDir()
	made, err := InitMaterial(dir, InitOptions{ClusterID: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := LoadMaterial(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.ClusterID != "prod" || got.CAPin() != made.CAPin() || !bytes.Equal(got.CAPEM, made.CAPEM) ||
		!bytes.Equal(got.GossipKey, made.GossipKey) || !got.caKey.Equal(made.caKey) || !got.jwtKey.Equal(made.jwtKey) {
		t.Errorf("loaded %v, made %v", got, made)
	}
	if len(got.GossipKey) != 32 || !strings.HasPrefix(got.CAPin(), "sha256:") || api.CheckDigest(api.Digest(got.CAPin())) != nil {
		t.Errorf("gossip key of %d bytes, pin %q", len(got.GossipKey), got.CAPin())
	}
	// What one scheduler signs the other takes.
	token, err := made.MintLogin("root", api.RoleOperator, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := got.VerifyLogin(token, time.Now()); err != nil {
		t.Errorf("VerifyLogin: %v", err)
	}
}

func TestInitMaterialNeverOverwrites(t *testing.T) {
	for _, name := range []string{fileCA, fileCAKey, fileJWTKey, fileGossip, fileCluster} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := InitMaterial(dir, InitOptions{})
			wantRefusal(t, err, api.Conflict, name)
			data, err := os.ReadFile(path)
			if err != nil || string(data) != "precious" {
				t.Errorf("%s is now %q, %v", name, data, err)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

func TestInitMaterialNamesADeadAttempt(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, stageDir), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := InitMaterial(dir, InitOptions{})
	wantRefusal(t, err, api.Conflict, stageDir)
}

// A move that fails half way takes back what it did: the folder has all files or none.
func TestMoveAllTakesBack(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	files := []file{{name: "a"}, {name: "b"}}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(from, f.name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(to, "b"), 0o700); err != nil { // no file is renamed over a folder
		t.Fatal(err)
	}
	if err := moveAll(from, to, files); err == nil {
		t.Fatal("b was renamed over a folder")
	}
	if _, err := os.Lstat(filepath.Join(to, "a")); err == nil {
		t.Error("a is left behind")
	}
}

func TestInitMaterialRefusesBadIDs(t *testing.T) {
	for _, id := range []string{"A", "a/b", "-a", "a:1", "a..b", strings.Repeat("a", 64), "a b"} {
		dir := filepath.Join(t.TempDir(), "x")
		_, err := InitMaterial(dir, InitOptions{ClusterID: id})
		wantRefusal(t, err, api.InvalidArgument, "cluster id")
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%q: the folder was made", id)
		}
	}
}

func TestInitMaterialOnceAmongMany(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = InitMaterial(dir, InitOptions{ClusterID: fmt.Sprintf("c%d", i)}) })
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		if err == nil && won >= 0 {
			t.Errorf("both %d and %d made the material", won, i)
		} else if err == nil {
			won = i
		} else if api.KindOf(err) != api.Conflict {
			t.Errorf("attempt %d: %v", i, err)
		}
	}
	m, err := LoadMaterial(dir)
	if err != nil || won < 0 || m.ClusterID != fmt.Sprintf("c%d", won) {
		t.Errorf("loaded %v, %v; attempt %d won", m, err, won)
	}
}

func TestLoadMaterialRefuses(t *testing.T) {
	other := t.TempDir()
	if _, err := InitMaterial(other, InitOptions{ClusterID: "other"}); err != nil {
		t.Fatal(err)
	}
	from := func(dir, name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	put := func(dir, name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil func(dir string)
		kind  api.Kind
		says  []string
	}{
		"empty folder": {func(dir string) { _ = os.RemoveAll(dir) }, api.NotFound, []string{"does not exist"}},
		"no CA key":    {func(dir string) { _ = os.Remove(filepath.Join(dir, fileCAKey)) }, api.NotFound, []string{fileCAKey}},
		"readable CA key": {
			func(dir string) { _ = os.Chmod(filepath.Join(dir, fileCAKey), 0o640) }, api.InvalidArgument,
			[]string{"mode 0640", fileCAKey},
		},
		"readable token key": {func(dir string) { _ = os.Chmod(filepath.Join(dir, fileJWTKey), 0o604) }, api.InvalidArgument, []string{"mode 0604"}},
		"executable gossip key": {
			func(dir string) { _ = os.Chmod(filepath.Join(dir, fileGossip), 0o700) }, api.InvalidArgument,
			[]string{"mode 0700"},
		},
		"other CA":      {func(dir string) { put(dir, fileCA, from(other, fileCA)) }, api.IdentityMismatch, []string{"cluster mine", "cluster other"}},
		"other CA key":  {func(dir string) { put(dir, fileCAKey, from(other, fileCAKey)) }, api.IdentityMismatch, []string{"not the key of ca.pem"}},
		"other cluster": {func(dir string) { put(dir, fileCluster, from(other, fileCluster)) }, api.IdentityMismatch, []string{"cluster other"}},
		"keys swapped":  {func(dir string) { put(dir, fileCAKey, from(dir, fileJWTKey)) }, api.InvalidArgument, []string{"not a P-256 key"}},
		"token key is P-256": {
			func(dir string) { put(dir, fileJWTKey, from(dir, fileCAKey)) }, api.InvalidArgument,
			[]string{"not an Ed25519 key"},
		},
		"key garbage": {func(dir string) { put(dir, fileCAKey, []byte("garbage")) }, api.InvalidArgument, []string{"not PEM"}},
		"CA garbage": {func(dir string) {
			put(dir, fileCA, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
		}, api.InvalidArgument, []string{"cannot be read"}},
		"two CAs":            {func(dir string) { put(dir, fileCA, append(from(dir, fileCA), from(other, fileCA)...)) }, api.InvalidArgument, []string{"beside its one PEM block"}},
		"CA oversized":       {func(dir string) { put(dir, fileCA, bytes.Repeat([]byte("x"), maxFile+1)) }, api.TooLarge, []string{"65536"}},
		"gossip key short":   {func(dir string) { put(dir, fileGossip, []byte("AAAA\n")) }, api.InvalidArgument, []string{"32 bytes"}},
		"gossip key garbage": {func(dir string) { put(dir, fileGossip, []byte("!!")) }, api.InvalidArgument, []string{"32 bytes"}},
		"future version":     {func(dir string) { put(dir, fileCluster, []byte(`{"cluster_id":"mine","version":2}`)) }, api.InvalidArgument, []string{"version 2"}},
		"unknown field":      {func(dir string) { put(dir, fileCluster, []byte(`{"cluster_id":"mine","version":1,"x":1}`)) }, api.InvalidArgument, []string{`"x"`}},
		"two documents":      {func(dir string) { put(dir, fileCluster, []byte(`{"cluster_id":"mine","version":1}{}`)) }, api.InvalidArgument, []string{"after its document"}},
		"not JSON":           {func(dir string) { put(dir, fileCluster, []byte(`mine`)) }, api.InvalidArgument, []string{"cannot be read"}},
		"folder as file": {func(dir string) {
			_ = os.Remove(filepath.Join(dir, fileGossip))
			_ = os.Mkdir(filepath.Join(dir, fileGossip), 0o700)
		}, api.InvalidArgument, []string{"not a regular file"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "m")
			if _, err := InitMaterial(dir, InitOptions{ClusterID: "mine"}); err != nil {
				t.Fatal(err)
			}
			c.spoil(dir)
			_, err := LoadMaterial(dir)
			wantRefusal(t, err, c.kind, c.says...)
		})
	}
}

func TestReadableKeySaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	if _, err := InitMaterial(dir, InitOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileCAKey)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := LoadMaterial(dir)
	p, ok := api.AsError(err)
	if !ok || !strings.Contains(p.Hint, "chmod 600 "+path) {
		t.Errorf("got %v with hint %q", err, p.Hint)
	}
}

func TestExpiredCAIsRefused(t *testing.T) {
	m, err := newMaterial("old", time.Now().Add(-caLife-90*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, m.checkCA(time.Now()), api.InvalidArgument, "expired 1m30s ago")
	_, err = m.Issue(CertRequest{Identity: tenant("acme")})
	wantRefusal(t, err, api.InvalidArgument, "expired 1m30s ago")
}

func TestMaterialPrintsNoKey(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, m); strings.Contains(got, "jwtKey") || len(got) > 200 {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
