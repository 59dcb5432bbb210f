package sim

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/raft"
)

// keepSnaps is how many snapshots a disk keeps.
const keepSnaps = 2

// snapshot is one that is on disk, whole.
type snapshot struct {
	meta raft.SnapshotMeta
	data []byte
}

// snaps is raft's snapshot store on a disk.
type snaps struct{ m *mounted }

// Create begins a snapshot; it is there when its sink is closed.
func (s snaps) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{m: s.m, meta: raft.SnapshotMeta{
		Version: v, ID: fmt.Sprintf("%d-%d", term, index), Index: index, Term: term, Configuration: c, ConfigurationIndex: at,
	}}, nil
}

// List returns the snapshots, newest first.
func (s snaps) List() ([]*raft.SnapshotMeta, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	var list []*raft.SnapshotMeta
	for _, snap := range slices.Backward(s.m.snaps) {
		list = append(list, copyOf(&snap.meta))
	}
	return list, nil
}

// Open reads a snapshot.
func (s snaps) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for _, snap := range s.m.snaps {
		if snap.meta.ID == id {
			return copyOf(&snap.meta), io.NopCloser(bytes.NewReader(snap.data)), nil
		}
	}
	return nil, nil, fmt.Errorf("snapshot %s is not there", id)
}

// sink takes a snapshot; a process that dies before it is closed leaves none.
type sink struct {
	m    *mounted
	meta raft.SnapshotMeta
	buf  bytes.Buffer
	over bool
}

// ID names the snapshot.
func (s *sink) ID() string { return s.meta.ID }

// Write takes bytes.
func (s *sink) Write(p []byte) (int, error) { return s.buf.Write(p) }

// Close makes the snapshot durable.
func (s *sink) Close() error {
	if s.over {
		return nil
	}
	s.over = true
	s.meta.Size = int64(s.buf.Len())
	if leaks(s.buf.Bytes()) {
		s.m.secret("snapshot " + s.meta.ID)
	}
	return s.m.sync(func() {
		s.m.snaps = slices.DeleteFunc(s.m.snaps, func(o *snapshot) bool { return o.meta.ID == s.meta.ID })
		s.m.snaps = append(s.m.snaps, &snapshot{meta: s.meta, data: s.buf.Bytes()})
		s.m.snaps = s.m.snaps[max(0, len(s.m.snaps)-keepSnaps):]
	})
}

// Cancel gives the snapshot up.
func (s *sink) Cancel() error {
	s.over = true
	return nil
}
