package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
)

// Kind is what keeps the log.
type Kind string

// The kinds. BoltDB is one file, years in the field; WAL needs one sync for an append where
// boltdb needs two, and gives back at once what a compaction frees.
const (
	BoltDB Kind = "boltdb"
	WAL    Kind = "wal"
)

// CheckKind refuses what is no kind of log.
func CheckKind(k Kind) error {
	switch k {
	case BoltDB, WAL:
		return nil
	}
	return api.Refuse(api.InvalidArgument, "%q is no kind of raft log", string(k)).WithHint("use %s or %s", BoltDB, WAL)
}

// engine keeps entries and stable values as it is given them. What makes a log of it that can
// be trusted is Log's, and the same for every kind.
type engine interface {
	raft.LogStore
	Set(key, value []byte) error
	Get(key []byte) ([]byte, error)
	Close() error
}

// opened is an engine, and what it was found to hold.
type opened struct {
	engine
	stored map[string][]byte // the stable values, sealed
	chunk  uint64            // how many entries one call may delete from the beginning
}

// openEngine opens what keeps the log at path. last is the newest entry that it must hold.
func openEngine(path string, o LogOptions, last uint64) (*opened, error) {
	if o.Kind == WAL {
		return openWAL(path, o, last)
	}
	return openBolt(path, o)
}

// engineExists reports whether there is a log at path.
func engineExists(path string, kind Kind) (bool, error) {
	if kind == WAL {
		path = walMetaPath(path)
	}
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open raft log: %w", err)
	}
	return true, nil
}

// isClosed reports whether err comes of a call after Close.
func isClosed(err error) bool {
	return errors.Is(err, bolterrors.ErrDatabaseNotOpen) || errors.Is(err, wal.ErrClosed)
}

// guarded runs f and turns a panic, and a fault of the mapped file, into an error.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p}
		}
	}()
	return f()
}

// panicError is a panic of the engine's, or a fault of the mapped file, caught.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("its reader panicked: %.200v", e.value) }

// lockTimeout is for how long another process may still hold a log: a predecessor that is
// just ending, not one that runs.
const lockTimeout = 2 * time.Second

// takeLock makes the log at path this process's own until the file is closed.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock raft log: %w", err)
	}
	if err := flock(f, unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("open raft log %s: %w", path, err), f.Close())
	}
	return f, nil
}

// flock takes a lock that goes with the file.
func flock(f *os.File, how int) error {
	deadline := time.Now().Add(lockTimeout)
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return fmt.Errorf("lock it, another process holds it: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
