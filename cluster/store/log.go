package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// DeleteChunk bounds the entries that one transaction of a compaction deletes, so that
// appends are never held up for long behind it.
const DeleteChunk = 1024

// LogOptions are the options of a log.
type LogOptions struct {
	Log hclog.Logger
	// OnStall is told, while it lasts, for how long a write to disk has not returned: first
	// after StallAfter, then every quarter of it. It must not call the log. Nil is nobody.
	OnStall func(d time.Duration)
	// StallAfter is when a write counts as stalled; 0 is 2 s.
	StallAfter time.Duration
	// OnFault is told once of what the log cannot live on after: a *CorruptError met while
	// reading, or a write that the disk refused. The node must stop. Nil is nobody.
	OnFault func(error)
	// Now is the clock of the stall watch; nil is time.Now.
	Now func() time.Time
}

// Log is Raft's log and stable store in one bolt file. It implements raft.LogStore,
// raft.StableStore and raft.MonotonicLogStore.
type Log struct {
	path  string
	bolt  *raftboltdb.BoltStore
	o     LogOptions
	watch *watchdog
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu          sync.Mutex
	first, last uint64 // guarded by mu: the entries held are first..last without a hole; 0 is none
	fault       error  // guarded by mu: the write that failed; every later one fails with it
	closed      bool   // guarded by mu
}

// OpenLog opens the log at path, or makes it. The whole file is verified first: what is not
// as it was written is a *CorruptError.
func OpenLog(path string, o LogOptions) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.StallAfter == 0 {
		o.StallAfter = 2 * time.Second
	}
	if o.OnStall == nil {
		o.OnStall = func(time.Duration) {}
	}
	if err := prepareFile(path); err != nil {
		return nil, err
	}
	bolt, err := openBolt(path)
	if _, panicked := errors.AsType[*panicError](err); panicked {
		return nil, &CorruptError{File: path, Why: err.Error()}
	}
	if err != nil {
		return nil, fmt.Errorf("open raft log %s: %w", path, err)
	}
	l := &Log{path: path, bolt: bolt, o: o, watch: newWatchdog(o.StallAfter, o.Now, o.OnStall)}
	if err := l.verify(); err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.wg.Go(func() { l.watch.run(ctx) })
	return l, nil
}

// openBolt opens the file read-write. The settings are those of a log that is compacted by
// deleting its beginning: a freelist on disk would be rewritten with every commit.
func openBolt(path string) (store *raftboltdb.BoltStore, err error) {
	err = guarded(func() error {
		var err error
		store, err = raftboltdb.New(raftboltdb.Options{
			Path: path,
			BoltOptions: &bbolt.Options{
				Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: 256 << 20,
			},
			MsgpackUseNewTimeFormat: true,
		})
		return err
	})
	return store, err
}

// Close ends the stall watch and closes the file. It may be called twice.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	l.stop()
	l.wg.Wait()
	if err := l.bolt.Close(); err != nil {
		return fmt.Errorf("close raft log: %w", err)
	}
	return nil
}

// IsMonotonic makes Raft empty the log when it installs a snapshot, instead of leaving a hole
// in it: a hole is how a lost entry looks.
func (l *Log) IsMonotonic() bool { return true }

// FirstIndex returns the index of the oldest entry; 0 is none.
func (l *Log) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, nil
}

// LastIndex returns the index of the newest entry; 0 is none.
func (l *Log) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, nil
}

// GetLog reads and verifies one entry. It returns raft.ErrLogNotFound for one that is not
// held, and a *CorruptError for one that does not verify.
func (l *Log) GetLog(index uint64, out *raft.Log) error {
	err := l.readEntry(index, out)
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		l.tellFault(err)
	}
	return err
}

func (l *Log) readEntry(index uint64, out *raft.Log) error {
	var got raft.Log
	err := guarded(func() error { return l.bolt.GetLog(index, &got) })
	switch {
	case errors.Is(err, raft.ErrLogNotFound):
		return raft.ErrLogNotFound
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fmt.Errorf("read raft log %s: %w", l.path, err)
	case err != nil:
		return &CorruptError{File: l.path, Index: index, Why: err.Error()}
	}
	if err := openEntry(index, &got); err != nil {
		return &CorruptError{File: l.path, Index: index, Why: err.Error()}
	}
	*out = got
	return nil
}

// StoreLog appends one entry.
func (l *Log) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries and returns when they are on disk. They must follow one another
// and what is held.
func (l *Log) StoreLogs(entries []*raft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.last + 1
	if l.last == 0 {
		next = entries[0].Index
	}
	sealed := make([]*raft.Log, len(entries))
	for i, e := range entries {
		if e.Index != next {
			return fmt.Errorf("append to raft log %s: entry %d where entry %d must stand", l.path, e.Index, next)
		}
		next++
		sealed[i] = sealEntry(e)
	}
	if err := l.write("append", func() error { return l.bolt.StoreLogs(sealed) }); err != nil {
		return err
	}
	if l.first == 0 {
		l.first = entries[0].Index
	}
	l.last = next - 1
	return nil
}

// DeleteRange deletes the entries low to high, which must be the beginning of the log or its
// end. The beginning goes in chunks, oldest first, and the end in one transaction: a crash
// in between leaves a log without a hole either way.
func (l *Log) DeleteRange(low, high uint64) error {
	for {
		more, err := l.deleteSome(low, high)
		if err != nil || !more {
			return err
		}
	}
}

func (l *Log) deleteSome(low, high uint64) (more bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == 0 || high < l.first || low > l.last || low > high {
		return false, nil
	}
	if low <= l.first {
		upTo := min(high, l.last, l.first+DeleteChunk-1)
		if err := l.write("compact", func() error { return l.bolt.DeleteRange(l.first, upTo) }); err != nil {
			return false, err
		}
		l.first = upTo + 1
		if upTo == l.last {
			l.first, l.last = 0, 0
		}
		return upTo < high, nil
	}
	if high < l.last {
		return false, fmt.Errorf("delete from raft log %s: entries %d to %d are in the middle of %d to %d", l.path, low, high, l.first, l.last)
	}
	if err := l.write("truncate", func() error { return l.bolt.DeleteRange(low, l.last) }); err != nil {
		return false, err
	}
	l.last = low - 1
	return false, nil
}

// Set stores a stable value and returns when it is on disk.
func (l *Log) Set(key, value []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write("set "+string(key)+" in", func() error { return l.bolt.Set(key, sealValue(key, value)) })
}

// Get reads and verifies a stable value. Of a key that was never set it returns
// raftboltdb.ErrKeyNotFound as it is, because Raft knows it by its text.
func (l *Log) Get(key []byte) ([]byte, error) {
	value, err := l.readValue(key)
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		l.tellFault(err)
	}
	return value, err
}

func (l *Log) readValue(key []byte) ([]byte, error) {
	var stored []byte
	err := guarded(func() error {
		var err error
		stored, err = l.bolt.Get(key)
		return err
	})
	switch {
	case errors.Is(err, raftboltdb.ErrKeyNotFound):
		return nil, raftboltdb.ErrKeyNotFound
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return nil, fmt.Errorf("read raft log %s: %w", l.path, err)
	case err != nil:
		return nil, &CorruptError{File: l.path, Key: string(key), Why: err.Error()}
	}
	value, err := openValue(key, stored)
	if err != nil {
		return nil, &CorruptError{File: l.path, Key: string(key), Why: err.Error()}
	}
	return value, nil
}

// SetUint64 stores a number under key.
func (l *Log) SetUint64(key []byte, value uint64) error {
	return l.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 reads what SetUint64 stored.
func (l *Log) GetUint64(key []byte) (uint64, error) {
	value, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		err := &CorruptError{File: l.path, Key: string(key), Why: fmt.Sprintf("%d bytes are not a number", len(value))}
		l.tellFault(err)
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}

// write runs one transaction under the stall watch; the caller holds l.mu. After a write
// that failed the log takes no other: a disk that refused an fsync may have dropped the
// pages, and would confirm the next one without them.
func (l *Log) write(verb string, f func() error) error {
	if l.fault != nil {
		return l.fault
	}
	end := l.watch.begin()
	err := guarded(f)
	end()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s raft log %s: %w", verb, l.path, err)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return err
	}
	l.fault = err
	l.o.Log.Error("raft log write failed", "path", l.path, "error", err)
	if l.o.OnFault != nil {
		l.o.OnFault(err)
	}
	return err
}

// tellFault hands a corruption to whoever stops the node.
func (l *Log) tellFault(err error) {
	l.o.Log.Error("raft log is corrupt", "path", l.path, "error", err)
	if l.o.OnFault != nil {
		l.o.OnFault(err)
	}
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

// panicError is a panic of bolt's, or a fault of the mapped file, caught.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("bolt panicked: %.200v", e.value) }
