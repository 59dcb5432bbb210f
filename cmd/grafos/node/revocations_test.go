package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// TestRevocationsFile: what was written is read; what no scheduler wrote is refused, and is never taken
// for a cluster in which nobody was revoked.
func TestRevocationsFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, revokedFile)
	r, err := openRevocations(dir)
	if err != nil || len(r.list()) != 0 {
		t.Fatalf("without a file: %v, %v", r, err)
	}
	bar := fsm.BarCell{Provider: "aws", Cell: "aws-1", Again: true, Keys: []string{"k1"}}
	if fresh := r.add([]fsm.BarCell{bar}); len(fresh) != 1 || len(r.add([]fsm.BarCell{bar})) != 0 {
		t.Errorf("new are %v", fresh)
	}
	if err := r.write(); err != nil {
		t.Fatal(err)
	}
	again, err := openRevocations(dir)
	if err != nil || len(again.list()) != 1 || again.list()[0].Keys[0] != "k1" {
		t.Fatalf("read again: %v, %v", again, err)
	}
	for _, bad := range []string{
		"", "{}", "[]", `{"revoked":null}`, `{"revoked":{"aws-1":{"provider":"aws","cell_id":"aws-2","again":true}}}`,
		`{"revoked":{"aws-1":{"provider":"aws","cell_id":"aws-1"}}}`, `{"revoked":{"aws-1":`,
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openRevocations(dir); api.KindOf(err) != api.DigestMismatch {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := knownRevocations(nil, []string{path}); api.KindOf(err) != api.DigestMismatch {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
