package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestSetAsideRetiresTheID: what was set aside is forgotten, so whoever comes back has
// another name to vote under; it is still the same scheduler's directory.
func TestSetAsideRetiresTheID(t *testing.T) {
	dir := t.TempDir()
	raftDir := filepath.Join(dir, "raft")
	var ids []api.NodeID
	for range keepRetired + 2 {
		id, err := ClaimDir(dir, "g-1", "s1")
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(ids, id) {
			t.Fatalf("%s came back", id)
		}
		ids = append(ids, id)
		if err := os.Mkdir(raftDir, 0o700); err != nil {
			t.Fatal(err)
		}
		where, err := SetAside(dir, raftDir, "raft.db is corrupt")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(where, "WHY.txt")); err != nil {
			t.Error(err)
		}
	}
	o, err := readOwner(filepath.Join(dir, "node.json"))
	if err != nil || o.Node != "" || !slices.Equal(o.Retired, ids[2:]) {
		t.Errorf("%+v, %v; want the last of %v retired", o, err, ids)
	}
	if _, err := ClaimDir(dir, "g-2", "s1"); kindOf(err) != api.Conflict {
		t.Errorf("another cluster: got %v", err)
	}
}

// TestSetAsideRetiresFirst: a crash, or a failure, between the two steps leaves the damaged
// directory for the next start to find, and no id that is in use.
func TestSetAsideRetiresFirst(t *testing.T) {
	dir := t.TempDir()
	id, err := ClaimDir(dir, "g-1", "s1")
	if err != nil {
		t.Fatal(err)
	}
	if where, err := SetAside(dir, filepath.Join(dir, "raft"), "a directory that cannot be moved"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %q, %v", where, err)
	}
	if next, err := ClaimDir(dir, "g-1", "s1"); err != nil || next == id {
		t.Errorf("got %s again, %v", next, err)
	}
	if _, err := SetAside(t.TempDir(), filepath.Join(dir, "raft"), "no identity"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
