package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/cluster/store/disk"
)

// The buckets of raft-boltdb.
const (
	bucketLogs = "logs"
	bucketConf = "conf"
)

// DeleteChunk bounds the entries that one transaction of a compaction deletes, so that
// appends are never held up for long behind it.
const DeleteChunk = 1024

// openBolt verifies the structure of the bolt file at path, or makes one, and opens it.
func openBolt(path string, o LogOptions) (*opened, error) {
	stored, err := prepareBolt(path)
	if err != nil {
		return nil, err
	}
	bolt, err := boltOpen(path, o.unsynced)
	if _, panicked := errors.AsType[*panicError](err); panicked {
		return nil, &CorruptError{File: path, Why: err.Error()}
	}
	if err != nil {
		return nil, disk.Explain("open raft log", path, err)
	}
	return &opened{engine: bolt, stored: stored, chunk: DeleteChunk}, nil
}

// boltOpen opens the file read-write. The settings are those of a log that is compacted by
// deleting its beginning: a freelist on disk would be rewritten with every commit.
func boltOpen(path string, unsynced bool) (store *raftboltdb.BoltStore, err error) {
	err = guarded(func() error {
		var err error
		store, err = raftboltdb.New(raftboltdb.Options{
			Path: path,
			BoltOptions: &bbolt.Options{
				Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: 512 << 20,
			},
			NoSync: unsynced, MsgpackUseNewTimeFormat: true,
		})
		return err
	})
	return store, err
}

// prepareBolt makes the file where there is none, and walks the one that is there; it returns
// the stable values as they are stored. A new file appears under its name only when it is
// whole, so that an empty or half-made file under that name was damaged and is not taken for
// a new node's.
func prepareBolt(path string) (stored map[string][]byte, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, createBolt(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open raft log: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	// A node of the release before takes no other lock.
	if err := flock(f, unix.LOCK_SH); err != nil {
		return nil, fmt.Errorf("open raft log %s: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open raft log: %w", err)
	}
	stored = map[string][]byte{}
	var prev uint64
	err = walkBolt(f, info.Size(), func(bucket, key, value []byte) error {
		switch string(bucket) {
		case bucketConf:
			stored[string(key)] = value
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
	if err != nil {
		return nil, &CorruptError{File: path, Why: err.Error()}
	}
	return stored, nil
}

func createBolt(path string) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("create raft log: %w", err)
	}
	bolt, err := boltOpen(fresh, false)
	if err != nil {
		return disk.Explain("create raft log", path, err)
	}
	if err := bolt.Close(); err != nil {
		return disk.Explain("create raft log", path, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return disk.Explain("create raft log", path, err)
	}
	return disk.SyncDir(filepath.Dir(path))
}
