package snap

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// opts are options with a clock that moves, so that no two snapshots share a name.
func opts() Options {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	return Options{Log: hclog.NewNullLogger(), Now: func() time.Time {
		now = now.Add(time.Second)
		return now
	}}
}

func open(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	must(t, err)
	return s
}

func configuration() raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{
		{Suffrage: raft.Voter, ID: "s1-aaaaaa", Address: "10.0.0.1:7491"},
		{Suffrage: raft.Nonvoter, ID: "s2-bbbbbb", Address: "10.0.0.2:7491"},
	}}
}

// payloadOf is what a snapshot of index holds: some blocks and a bit.
func payloadOf(index uint64) []byte {
	r := rand.New(rand.NewPCG(index, 1))
	b := make([]byte, 300_000+r.IntN(1000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// creator is what makes snapshots: this store, or Raft's own.
type creator interface {
	Create(raft.SnapshotVersion, uint64, uint64, raft.Configuration, uint64, raft.Transport) (raft.SnapshotSink, error)
}

func create(t *testing.T, s creator, index, term uint64, payload []byte) string {
	t.Helper()
	_, trans := raft.NewInmemTransport("")
	k, err := s.Create(raft.SnapshotVersionMax, index, term, configuration(), index-1, trans)
	must(t, err)
	_, err = io.Copy(k, bytes.NewReader(payload))
	must(t, err)
	must(t, k.Close())
	must(t, k.Close())
	must(t, k.Cancel())
	return k.ID()
}

func readAll(t *testing.T, s raft.SnapshotStore, id string) []byte {
	t.Helper()
	_, r, err := s.Open(id)
	must(t, err)
	b, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	return b
}

// newest returns the id of the one snapshot that the store lists.
func newest(t *testing.T, s raft.SnapshotStore) string {
	t.Helper()
	metas, err := s.List()
	must(t, err)
	if len(metas) == 0 {
		return ""
	}
	if len(metas) > 1 {
		t.Errorf("lists %d snapshots: Raft would fall back to the second by itself", len(metas))
	}
	return metas[0].ID
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	b[(at+len(b))%len(b)] ^= 0x10
	must(t, os.WriteFile(path, b, 0o600))
}
