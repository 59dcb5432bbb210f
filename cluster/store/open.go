package store

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/store/disk"
	"github.com/grafos/grafos/cluster/store/snap"
)

// Options are the options of a store.
type Options struct {
	LogOptions
	// Retain is how many of the newest snapshots are kept; 0 is 2.
	Retain int
	// ID is the directory's, where it was begun before. Another directory, or one that holds
	// no log, is damage then. Empty is that any directory is the right one.
	ID string
}

// Store is all that Raft keeps in one directory.
type Store struct {
	Log       *Log
	Snapshots *snap.Store
	// ID is the directory's: made when it was begun.
	ID string
}

// Open opens the log and the snapshots in dir, or begins there, and verifies that together
// they hold what was acknowledged. The kind of the log is what the directory was begun with.
func Open(dir string, o Options) (*Store, error) {
	o.LogOptions = o.withDefaults()
	if err := CheckKind(o.Kind); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, disk.Explain("make", dir, err)
	}
	id, err := claimKind(dir, o.Kind, o.ID)
	if err != nil {
		return nil, err
	}
	logs, err := OpenLog(logPath(dir, o.Kind), o.LogOptions)
	if err != nil {
		return nil, err
	}
	s := &Store{Log: logs, ID: id}
	if err := s.openSnapshots(dir, o); err != nil {
		return nil, errors.Join(err, logs.Close())
	}
	return s, nil
}

// Close closes the log; snapshots hold nothing open.
func (s *Store) Close() error { return s.Log.Close() }

func (s *Store) openSnapshots(dir string, o Options) (err error) {
	s.Snapshots, err = snap.Open(dir, snap.Options{
		Retain: o.Retain, Floor: s.Log.mark.get().snap, Replay: s.Log.holds, Settled: s.Log.settledSnapshot,
		Fault: o.fault, Log: o.Log.Named("snapshot"), Now: o.Now,
	})
	if err != nil {
		return fmt.Errorf("open snapshots: %w", err)
	}
	metas, err := s.Snapshots.List()
	if err != nil {
		return fmt.Errorf("open snapshots: %w", err)
	}
	var newest raft.SnapshotMeta
	if len(metas) > 0 {
		newest = *metas[0]
	}
	return s.Log.meets(newest.Index, newest.Term)
}

// settledSnapshot moves the mark to the snapshot that a start begins from.
func (l *Log) settledSnapshot(index, term uint64) error {
	if err := l.mark.snapshot(index, term); err != nil {
		return l.o.fault.Set(err)
	}
	return nil
}

// meets checks that the log goes on where the newest snapshot ends. A log that ends before
// it, or that holds another entry in its last one's place, is what a crash leaves between the
// installation of a snapshot and the emptying of the log that Raft does next; it is emptied
// here, since the snapshot stands for all of it and nothing could be appended to it.
func (l *Log) meets(index, term uint64) error {
	first, last := l.sums.first, l.sums.last()
	if last == 0 {
		return nil
	}
	if first > index+1 {
		return &CorruptError{File: l.path, Index: index + 1, Why: fmt.Sprintf(
			"it is gone: the newest snapshot ends with entry %d, the log begins with entry %d", index, first)}
	}
	if index == 0 {
		return nil
	}
	if last >= index {
		if index < first {
			return nil
		}
		var e raft.Log
		if err := l.GetLog(index, &e); err != nil || e.Term == term {
			return err
		}
	}
	l.o.Log.Info("the log is older than the newest snapshot: emptied", "index", index, "first", first, "last", last)
	return l.DeleteRange(first, last)
}

// kindFile says what kind of log a directory was begun with.
const kindFile = "storage.json"

const kindVersion = 1

type storage struct {
	Version int    `json:"version"`
	Log     Kind   `json:"log"`
	ID      string `json:"id,omitempty"` // none of the first releases
}

func logPath(dir string, k Kind) string {
	if k == WAL {
		return filepath.Join(dir, "raft.wal")
	}
	return filepath.Join(dir, "raft.db")
}

// KindOf returns the kind of the log in dir; of one that the first release began, boltdb.
func KindOf(dir string) (Kind, error) {
	path := filepath.Join(dir, kindFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return BoltDB, nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	var s storage
	if err := json.Unmarshal(b, &s); err != nil || CheckKind(s.Log) != nil {
		return "", &CorruptError{File: path, Why: fmt.Sprintf("it names no kind of log: %q", b)}
	}
	return s.Log, nil
}

// claimKind makes dir a directory of logs of kind k, unless it is one of another kind, or not the
// one of an id, and returns its id.
func claimKind(dir string, k Kind, id string) (string, error) {
	path := filepath.Join(dir, kindFile)
	s, err := readKind(path)
	if errors.Is(err, fs.ErrNotExist) {
		s.Log, err = k, noOther(dir, k)
	}
	if err != nil {
		return "", err
	}
	if s.Log != k {
		return "", otherKind(dir, s.Log, k)
	}
	if id != "" {
		if err := isOf(dir, s, id); err != nil {
			return "", err
		}
	}
	if s.ID != "" {
		return s.ID, nil
	}
	s.Version, s.ID = kindVersion, id
	if s.ID == "" {
		s.ID = rand.Text()
	}
	b, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", path, err)
	}
	return s.ID, disk.WriteFile(path, append(b, '\n'))
}

func readKind(path string) (storage, error) {
	var s storage
	b, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, &CorruptError{File: path, Why: err.Error()}
	}
	if s.Version != kindVersion {
		return s, api.Refuse(api.Conflict, "%s has version %d, this grafos knows version %d", path, s.Version, kindVersion).
			WithHint("use the release that wrote it, or a newer one")
	}
	if CheckKind(s.Log) != nil {
		return s, &CorruptError{File: path, Why: fmt.Sprintf("%q is no kind of log", string(s.Log))}
	}
	return s, nil
}

// isOf finds a directory that is not the one of an id: whose log and votes are lost, all at once,
// so that nothing in it tells of them. A directory that only lost its storage.json has a log.
func isOf(dir string, s storage, id string) error {
	exists, err := engineExists(logPath(dir, s.Log), s.Log)
	switch {
	case err != nil:
		return err
	case !exists:
		return &CorruptError{File: dir, Why: "the log and the votes that this scheduler wrote are gone: it is empty, or another directory (is a disk not mounted?)"}
	case s.ID != "" && s.ID != id:
		return &CorruptError{File: dir, Why: fmt.Sprintf("it is directory %s, this scheduler wrote its log and its votes into directory %s", s.ID, id)}
	}
	return nil
}

// noOther refuses where there is a log of another kind: the first release wrote no kind down.
func noOther(dir string, k Kind) error {
	for _, other := range []Kind{BoltDB, WAL} {
		if exists, err := engineExists(logPath(dir, other), other); err != nil || exists && other != k {
			return errors.Join(err, otherKind(dir, other, k))
		}
	}
	return nil
}

func otherKind(dir string, have, want Kind) error {
	return api.Refuse(api.Conflict, "%s holds a raft log of kind %s, not %s", dir, have, want).
		WithHint("start this scheduler with raft log store %s; a log is not converted: to change the kind, remove the scheduler and let it join again with an empty data directory", have)
}
