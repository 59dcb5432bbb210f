package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/grafos/grafos/cluster/store/disk"
)

// LogOptions are the options of a log.
type LogOptions struct {
	// Kind is what keeps the log; "" is BoltDB.
	Kind Kind
	Log  hclog.Logger
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

	fault       *disk.Fault // what OnFault is told of
	unsynced    bool        // for the proof that a power cut is noticed
	segmentSize int         // of a WAL; 0 is raft-wal's own 64 MiB
}

func (o LogOptions) withDefaults() LogOptions {
	if o.Kind == "" {
		o.Kind = BoltDB
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.StallAfter == 0 {
		o.StallAfter = 2 * time.Second
	}
	if o.OnStall == nil {
		o.OnStall = func(time.Duration) {}
	}
	if o.fault == nil {
		o.fault = disk.NewFault(o.OnFault)
	}
	return o
}

// Log is Raft's log and stable store. It implements raft.LogStore, raft.StableStore and
// raft.MonotonicLogStore.
type Log struct {
	path   string
	o      LogOptions
	lock   *os.File
	engine *opened
	votes  *votes
	mark   *markFile
	watch  *watchdog
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // held by whoever writes; before known
	closed bool       // guarded by mu

	known  sync.RWMutex // never held while the disk works
	sums   sums         // guarded by known: of the entries held, which have no hole
	values values       // guarded by known
}

var (
	_ raft.MonotonicLogStore = (*Log)(nil)
	_ raft.LogStore          = (*Log)(nil)
	_ raft.StableStore       = (*Log)(nil)
)

// Close ends the stall watch and closes the files. It may be called twice.
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
	if err := l.release(); err != nil {
		return fmt.Errorf("close raft log: %w", err)
	}
	return nil
}

// Pending is for how long the oldest write has not returned; 0 is that none is under way.
func (l *Log) Pending() time.Duration { return l.watch.oldest() }

// release closes what was opened, in reverse.
func (l *Log) release() error {
	var errs []error
	if l.mark != nil {
		errs = append(errs, l.mark.close())
	}
	if l.votes != nil {
		errs = append(errs, l.votes.close())
	}
	if l.engine != nil {
		errs = append(errs, l.engine.Close())
	}
	return errors.Join(append(errs, l.lock.Close())...)
}

// IsMonotonic makes Raft empty the log when it installs a snapshot, instead of leaving a hole
// in it: a hole is how a lost entry looks.
func (l *Log) IsMonotonic() bool { return true }

// FirstIndex returns the index of the oldest entry; 0 is none.
func (l *Log) FirstIndex() (uint64, error) {
	l.known.RLock()
	defer l.known.RUnlock()
	return l.sums.first, nil
}

// LastIndex returns the index of the newest entry; 0 is none.
func (l *Log) LastIndex() (uint64, error) {
	l.known.RLock()
	defer l.known.RUnlock()
	return l.sums.last(), nil
}

func (l *Log) holds(from, to uint64) bool {
	l.known.RLock()
	defer l.known.RUnlock()
	return l.sums.first != 0 && l.sums.first <= from && to <= l.sums.last()
}

// GetLog reads and verifies one entry, and that it is the one that was verified or written
// before. It returns raft.ErrLogNotFound for one that is not held, and a *CorruptError for
// one that does not verify.
func (l *Log) GetLog(index uint64, out *raft.Log) error {
	err := l.readKnown(index, out)
	if err == nil || !suspect(err) {
		return err
	}
	// The log may have been cut between two looks; with no writer about there is one answer.
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.closedError()
	}
	if err = l.readKnown(index, out); suspect(err) {
		return l.corrupt(err)
	}
	return err
}

func (l *Log) readKnown(index uint64, out *raft.Log) error {
	got, at, err := l.readEntry(index)
	l.known.RLock()
	want, held := l.sums.at(index)
	l.known.RUnlock()
	switch {
	case !held && (err == nil || errors.Is(err, raft.ErrLogNotFound)):
		return raft.ErrLogNotFound
	case errors.Is(err, raft.ErrLogNotFound):
		return &CorruptError{File: l.path, Index: index, Why: "it is gone"}
	case err != nil:
		return err
	case want != at.sum:
		return &CorruptError{File: l.path, Index: index, Why: fmt.Sprintf("checksum %08x, the entry that was there has %08x", at.sum, want)}
	}
	*out = got
	return nil
}

func suspect(err error) bool {
	_, corrupt := errors.AsType[*CorruptError](err)
	return corrupt
}

// readEntry reads one entry and verifies it by itself.
func (l *Log) readEntry(index uint64) (raft.Log, link, error) {
	var got raft.Log
	err := guarded(func() error { return l.engine.GetLog(index, &got) })
	switch {
	case errors.Is(err, raft.ErrLogNotFound):
		return got, link{}, raft.ErrLogNotFound
	case isClosed(err):
		return got, link{}, fmt.Errorf("read raft log %s: %w", l.path, err)
	case err != nil:
		return got, link{}, &CorruptError{File: l.path, Index: index, Why: err.Error()}
	}
	at, err := openEntry(index, &got)
	if err != nil {
		return got, link{}, &CorruptError{File: l.path, Index: index, Why: err.Error()}
	}
	return got, at, nil
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
	next := l.sums.last() + 1
	if next == 1 {
		next = entries[0].Index
	}
	sum, _ := l.sums.at(next - 1)
	sealed, added := make([]*raft.Log, len(entries)), make([]uint32, len(entries))
	for i, e := range entries {
		if e.Index != next {
			return fmt.Errorf("append to raft log %s: entry %d where entry %d must stand", l.path, e.Index, next)
		}
		next++
		sealed[i], sum = sealEntry(e, sum)
		added[i] = sum
	}
	return l.write("append to raft log", func() error {
		if err := l.engine.StoreLogs(sealed); err != nil {
			return err
		}
		l.known.Lock()
		for i, e := range entries {
			l.sums.push(e.Index, added[i])
		}
		l.known.Unlock()
		return l.mark.entry(next-1, sum, false)
	})
}

// DeleteRange deletes the entries low to high, which must be the beginning of the log or its
// end. The beginning may go in chunks, oldest first, and the end goes at once: a crash in
// between leaves a log without a hole either way.
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
	first, last := l.sums.first, l.sums.last()
	if last == 0 || high < first || low > last || low > high {
		return false, nil
	}
	if low <= first {
		upTo := min(high, last)
		if l.engine.chunk > 0 {
			upTo = min(upTo, first+l.engine.chunk-1)
		}
		return upTo < min(high, last), l.cutHead(first, upTo, last)
	}
	if high < last {
		return false, fmt.Errorf("delete from raft log %s: entries %d to %d are in the middle of %d to %d", l.path, low, high, first, last)
	}
	return false, l.cutTail(low, last)
}

func (l *Log) cutHead(first, upTo, last uint64) error {
	return l.write("compact raft log", func() error {
		if upTo == last { // nothing is left that the mark could stand for
			if err := l.mark.entry(0, 0, true); err != nil {
				return err
			}
		}
		if err := l.engine.DeleteRange(first, upTo); err != nil {
			return err
		}
		l.known.Lock()
		defer l.known.Unlock()
		l.sums.cutHead(upTo + 1)
		return nil
	})
}

func (l *Log) cutTail(low, last uint64) error {
	return l.write("truncate raft log", func() error {
		sum, _ := l.sums.at(low - 1)
		if err := l.mark.entry(low-1, sum, true); err != nil {
			return err
		}
		if err := l.engine.DeleteRange(low, last); err != nil {
			return err
		}
		l.known.Lock()
		defer l.known.Unlock()
		l.sums.cutTail(low)
		return nil
	})
}

// Set stores a stable value and returns when both copies are on disk. One that is stored
// already costs nothing.
func (l *Log) Set(key, value []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held, ok := l.values.held[string(key)]; ok && bytes.Equal(held.bytes, value) && !l.closed {
		return l.o.fault.Err()
	}
	return l.set(key, value)
}

// set stores a stable value as the next generation: in the log, then in the second copy.
// The caller holds l.mu.
func (l *Log) set(key, value []byte) error {
	next := l.values.with(string(key), value)
	if n := next.sealedLen(); n > slotLen {
		return fmt.Errorf("store %s in %s: the stable values would take %d bytes, at most %d are kept", key, l.path, n, slotLen)
	}
	return l.write("store "+string(key)+" in", func() error {
		if err := l.engine.Set(key, sealValue(key, next.generation, value)); err != nil {
			return err
		}
		l.known.Lock()
		l.values = next
		l.known.Unlock()
		return l.votes.write(next)
	})
}

// Get reads and verifies a stable value. Of a key that was never set it returns
// raftboltdb.ErrKeyNotFound as it is, because Raft knows it by its text.
func (l *Log) Get(key []byte) ([]byte, error) {
	value, err := l.readValue(key)
	if !suspect(err) {
		return value, err
	}
	l.mu.Lock() // as in GetLog
	defer l.mu.Unlock()
	if l.closed {
		return nil, l.closedError()
	}
	if value, err = l.readValue(key); suspect(err) {
		return nil, l.corrupt(err)
	}
	return value, err
}

func (l *Log) readValue(key []byte) ([]byte, error) {
	var stored []byte
	err := guarded(func() error {
		var err error
		stored, err = l.engine.Get(key)
		return err
	})
	l.known.RLock()
	known, held := l.values.held[string(key)]
	l.known.RUnlock()
	switch {
	case errors.Is(err, raftboltdb.ErrKeyNotFound) && !held:
		return nil, raftboltdb.ErrKeyNotFound
	case isClosed(err):
		return nil, fmt.Errorf("read raft log %s: %w", l.path, err)
	case err != nil:
		return nil, &CorruptError{File: l.path, Key: string(key), Why: err.Error()}
	}
	value, generation, err := openValue(key, stored)
	if err == nil && (!held || generation != known.generation || !bytes.Equal(value, known.bytes)) {
		err = fmt.Errorf("generation %d is not the one that was stored", generation)
	}
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
		return 0, l.corrupt(&CorruptError{File: l.path, Key: string(key), Why: fmt.Sprintf("%d bytes are not a number", len(value))})
	}
	return binary.BigEndian.Uint64(value), nil
}

// write runs one change of the disk under the stall watch; the caller holds l.mu. After one
// that failed the log takes no other.
func (l *Log) write(verb string, f func() error) error {
	if err := l.o.fault.Err(); err != nil {
		return err
	}
	if l.closed {
		return l.closedError()
	}
	end := l.watch.begin()
	err := guarded(f)
	end()
	if err == nil {
		return nil
	}
	err = disk.Explain(verb, l.path, err)
	l.o.Log.Error("raft log write failed", "path", l.path, "error", err)
	return l.o.fault.Set(err)
}

func (l *Log) closedError() error { return fmt.Errorf("raft log %s is closed", l.path) }

// corrupt hands damage to whoever stops the node. Nothing is written any more: a node that
// may have forgotten what it acknowledged must not vote.
func (l *Log) corrupt(err error) error {
	l.o.Log.Error("raft log is corrupt", "path", l.path, "error", err)
	l.o.fault.Set(err) //nolint:errcheck // it is err, or came before it
	return err
}
