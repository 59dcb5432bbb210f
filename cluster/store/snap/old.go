package snap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/cluster/store/disk"
)

// readOldMeta reads what raft.FileSnapshotStore wrote about the snapshot in path. It has no
// checksum: what the directory's name says too must agree.
func readOldMeta(path string, h held) (*raft.SnapshotMeta, error) {
	file := filepath.Join(path, "meta.json")
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &disk.CorruptError{File: file, Why: "it is gone"}
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	var m raft.SnapshotMeta
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, &disk.CorruptError{File: file, Why: err.Error()}
	}
	if m.ID != h.id || m.Index != h.index || m.Term != h.term || m.Version != raft.SnapshotVersionMax {
		return nil, &disk.CorruptError{File: file, Why: "it is not of the snapshot that its directory names"}
	}
	return &m, nil
}

// openOld opens what raft.FileSnapshotStore wrote, which verifies all of it first.
func (s *Store) openOld(path string, h held) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m, err := readOldMeta(path, h)
	if err != nil {
		return nil, nil, err
	}
	_, r, err := s.old.Open(h.id)
	if err != nil {
		return nil, nil, &disk.CorruptError{File: filepath.Join(path, "state.bin"), Why: err.Error()}
	}
	return m, r, nil
}

// hashed reads r to its end, closes it, and returns the manifest that an archive of it has.
func hashed(m *raft.SnapshotMeta, r io.ReadCloser) (Info, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return Info{}, fmt.Errorf("read snapshot: %w", err)
	}
	info, err := infoOf(m)
	info.Size, info.SHA256 = n, hex.EncodeToString(sum.Sum(nil))
	return info, err
}
