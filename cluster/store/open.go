package store

import (
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
}

// Store is all that Raft keeps in one directory.
type Store struct {
	Log       *Log
	Snapshots *snap.Store
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
	if err := claimKind(dir, o.Kind); err != nil {
		return nil, err
	}
	logs, err := OpenLog(logPath(dir, o.Kind), o.LogOptions)
	if err != nil {
		return nil, err
	}
	s := &Store{Log: logs}
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
	Version int  `json:"version"`
	Log     Kind `json:"log"`
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

// claimKind makes dir a directory of logs of kind k, unless it is one of another kind.
func claimKind(dir string, k Kind) error {
	path := filepath.Join(dir, kindFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return beginKind(dir, path, k)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	var s storage
	if err := json.Unmarshal(b, &s); err != nil {
		return &CorruptError{File: path, Why: err.Error()}
	}
	if s.Version != kindVersion {
		return api.Refuse(api.Conflict, "%s has version %d, this grafos knows version %d", path, s.Version, kindVersion).
			WithHint("use the version of grafos that wrote it, or a newer one")
	}
	if CheckKind(s.Log) != nil {
		return &CorruptError{File: path, Why: fmt.Sprintf("%q is no kind of log", string(s.Log))}
	}
	if s.Log != k {
		return otherKind(dir, s.Log, k)
	}
	return nil
}

// beginKind writes the kind down, where there is no log of another kind: the release before
// wrote nothing down.
func beginKind(dir, path string, k Kind) error {
	for _, other := range []Kind{BoltDB, WAL} {
		if exists, err := engineExists(logPath(dir, other), other); err != nil || exists && other != k {
			return errors.Join(err, otherKind(dir, other, k))
		}
	}
	b, err := json.Marshal(storage{kindVersion, k})
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return disk.WriteFile(path, append(b, '\n'))
}

func otherKind(dir string, have, want Kind) error {
	return api.Refuse(api.Conflict, "%s holds a raft log of kind %s, not %s", dir, have, want).
		WithHint("start this scheduler with raft log store %s; a log is not converted: to change the kind, remove the scheduler and let it join again with an empty data directory", have)
}
