package snap

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/cluster/store/disk"
)

const (
	suffix        = ".snap"
	tmpSuffix     = ".tmp"
	damagedSuffix = ".damaged"
)

// parseName reads what the name of a snapshot says: term-index-milliseconds.
func parseName(name string, dir bool) (held, bool) {
	id, isFile := strings.CutSuffix(name, suffix)
	if isFile == dir {
		return held{}, false
	}
	parts := strings.Split(id, "-")
	if len(parts) != 3 {
		return held{}, false
	}
	term, err1 := strconv.ParseUint(parts[0], 10, 64)
	index, err2 := strconv.ParseUint(parts[1], 10, 64)
	if err1 != nil || err2 != nil {
		return held{}, false
	}
	return held{id: id, index: index, term: term, name: name, old: dir}, true
}

// Create begins a snapshot. It is there once its sink is closed without an error.
func (s *Store) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("create snapshot: version %d is not written", version)
	}
	if err := s.o.Fault.Err(); err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%d-%d-%d", term, index, s.o.Now().UnixMilli())
	info, err := infoOf(&raft.SnapshotMeta{
		ID: id, Index: index, Term: term, Configuration: configuration, ConfigurationIndex: configurationIndex,
	})
	if err != nil {
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	room, err := info.room()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, id+suffix)
	k := &sink{store: s, info: info, room: room, path: path, sum: sha256.New()}
	k.f, err = os.OpenFile(path+tmpSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, k.failed("create snapshot", err)
	}
	k.buf = bufio.NewWriterSize(k.f, 256<<10)
	if _, err := k.buf.Write(make([]byte, prefixLen+room)); err != nil {
		return nil, errors.Join(k.failed("create snapshot", err), k.Cancel())
	}
	s.o.Log.Info("snapshot begun", "path", path, "index", index, "term", term)
	return k, nil
}

// sink is a snapshot that is being written. It belongs to one goroutine.
type sink struct {
	store *Store
	info  Info
	room  int
	path  string // the name that it gets
	f     *os.File
	buf   *bufio.Writer
	sum   hash.Hash
	ended bool
}

// ID implements raft.SnapshotSink.
func (k *sink) ID() string { return k.info.ID }

// Write takes the next of the payload.
func (k *sink) Write(p []byte) (int, error) {
	n, err := k.buf.Write(p)
	k.sum.Write(p[:n])
	k.info.Size += int64(n)
	if err != nil {
		return n, k.failed("write snapshot", err)
	}
	return n, nil
}

// Close returns when the snapshot is durable under its name, and removes the oldest. It may
// be called twice.
func (k *sink) Close() error {
	if k.ended {
		return nil
	}
	if err := k.finish(); err != nil {
		return errors.Join(err, k.Cancel())
	}
	return k.store.take(k.info)
}

// finish writes the manifest and makes the file durable under its name.
func (k *sink) finish() error {
	if err := k.store.o.Fault.Err(); err != nil {
		return err
	}
	if err := k.buf.Flush(); err != nil {
		return k.failed("write snapshot", err)
	}
	k.info.SHA256 = hex.EncodeToString(k.sum.Sum(nil))
	head, err := k.info.head(k.room)
	if err != nil {
		return err
	}
	if _, err := k.f.WriteAt(head, 0); err != nil {
		return k.failed("write snapshot", err)
	}
	if err := k.f.Sync(); err != nil {
		return k.failed("sync snapshot", err)
	}
	if err := k.f.Close(); err != nil {
		return k.failed("close snapshot", err)
	}
	k.ended = true
	if err := os.Rename(k.path+tmpSuffix, k.path); err != nil {
		return k.failed("rename snapshot", errors.Join(err, os.Remove(k.path+tmpSuffix)))
	}
	if err := disk.SyncDir(k.store.dir); err != nil {
		return k.failed("sync snapshot", err)
	}
	return nil
}

// Cancel removes what was written. It may be called twice, and after Close.
func (k *sink) Cancel() error {
	if k.ended {
		return nil
	}
	k.ended = true
	if err := errors.Join(k.f.Close(), os.Remove(k.path+tmpSuffix)); err != nil {
		return fmt.Errorf("cancel snapshot: %w", err)
	}
	return nil
}

// failed says what the disk refused. A snapshot that found no room, or no descriptor, is
// given up, and another may find some; what else is refused ends all writing.
func (k *sink) failed(op string, err error) error {
	passing := slices.ContainsFunc([]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, fs.ErrExist},
		func(e error) bool { return errors.Is(err, e) })
	err = disk.Explain(op, k.path, err)
	k.store.o.Log.Error("snapshot not written", "path", k.path, "error", err)
	if passing {
		return err
	}
	return k.store.o.Fault.Set(err)
}

// take makes a durable snapshot the newest and removes what is more than is kept.
func (s *Store) take(i Info) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, held{id: i.ID, index: i.Index, term: i.Term, name: i.ID + suffix})
	slices.SortFunc(s.held, newestFirst)
	s.o.Log.Info("snapshot durable", "index", i.Index, "term", i.Term, "bytes", i.Size)
	if err := s.o.Settled(s.held[0].index, s.held[0].term); err != nil {
		return err
	}
	for len(s.held) > s.o.Retain {
		last := s.held[len(s.held)-1]
		if err := os.RemoveAll(filepath.Join(s.dir, last.name)); err != nil {
			s.o.Log.Warn("an old snapshot is not removed", "path", filepath.Join(s.dir, last.name), "error", err)
		}
		s.held = s.held[:len(s.held)-1]
	}
	return nil
}
