package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"golang.org/x/sys/unix"
)

// lockTimeout is for how long another process may still hold the file: a predecessor that
// is just ending, not one that runs.
const lockTimeout = 2 * time.Second

// The buckets and the one key of raft-boltdb that verification reads.
const (
	bucketLogs = "logs"
	bucketConf = "conf"
	keyTerm    = "CurrentTerm" // Raft stores the term before the first entry of it
)

// prepareFile makes the log file where there is none, and walks the one that is there. A new
// file appears under its name only when it is whole, so that an empty or half-made file
// under that name was damaged and is not taken for a new node's.
func prepareFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createFile(path)
	}
	if err != nil {
		return fmt.Errorf("open raft log: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if err := lockShared(f); err != nil {
		return fmt.Errorf("open raft log %s: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open raft log: %w", err)
	}
	var prev uint64
	err = walkBolt(f, info.Size(), func(bucket, key, value []byte) error {
		switch string(bucket) {
		case bucketConf:
			// A value under a damaged key would be taken for one that was never set: a vote forgotten.
			if _, err := openValue(key, value); err != nil {
				return &CorruptError{File: path, Key: string(key), Why: err.Error()}
			}
			return nil
		case bucketLogs:
			if len(key) != 8 {
				return fmt.Errorf("key %x is not a log index", key)
			}
			index := binary.BigEndian.Uint64(key)
			if prev != 0 && index != prev+1 {
				return fmt.Errorf("entry %d follows entry %d: entries between them are gone", index, prev)
			}
			prev = index
			return nil
		}
		return fmt.Errorf("bucket %q is not the log's", bucket)
	})
	if c, named := errors.AsType[*CorruptError](err); named {
		return c
	}
	if err != nil {
		return &CorruptError{File: path, Why: err.Error()}
	}
	return nil
}

func createFile(path string) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("create raft log: %w", err)
	}
	bolt, err := openBolt(fresh)
	if err != nil {
		return fmt.Errorf("create raft log: %w", err)
	}
	if err := bolt.Close(); err != nil {
		return fmt.Errorf("create raft log: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("create raft log: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// lockShared takes bolt's lock for reading, so that no running node is read in mid-write.
// The lock goes with the file.
func lockShared(f *os.File) error {
	deadline := time.Now().Add(lockTimeout)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return fmt.Errorf("lock it, another process holds it: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// verify reads every entry and stable value once, and sets first and last. The current term
// can never be behind the newest entry's.
func (l *Log) verify() error {
	var err error
	if l.first, err = l.bolt.FirstIndex(); err != nil {
		return fmt.Errorf("read raft log %s: %w", l.path, err)
	}
	if l.last, err = l.bolt.LastIndex(); err != nil {
		return fmt.Errorf("read raft log %s: %w", l.path, err)
	}
	var entry raft.Log
	for i := l.first; i <= l.last && i != 0; i++ {
		if err := l.readEntry(i, &entry); err != nil {
			if errors.Is(err, raft.ErrLogNotFound) {
				return &CorruptError{File: l.path, Index: i, Why: "it is gone"}
			}
			return err
		}
	}
	return l.verifyStable(entry.Term)
}

func (l *Log) verifyStable(newest uint64) error {
	value, err := l.readValue([]byte(keyTerm))
	if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return err
	}
	var term uint64
	if len(value) == 8 {
		term = binary.BigEndian.Uint64(value)
	}
	if term < newest {
		return &CorruptError{File: l.path, Key: keyTerm, Why: fmt.Sprintf("it is %d, the newest entry is of term %d", term, newest)}
	}
	return nil
}

// syncDir makes a rename or a new file in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer d.Close() //nolint:errcheck // it was only synced
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
