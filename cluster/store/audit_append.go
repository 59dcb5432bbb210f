package store

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/store/disk"
)

// tailFile is the open end of the last segment.
type tailFile struct {
	f    *os.File
	buf  *bufio.Writer
	size int64
}

// Append takes records as the state machine makes them, in order. Those that are held, which
// a replay brings again, are compared and skipped: one that differs is a *CorruptError. A
// record that does not follow the newest leaves a gap, which Missing reports.
func (a *Audit) Append(recs []api.AuditRecord) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.fault.Err(); err != nil {
		return err
	}
	if a.closed {
		return errors.New("append audit records: the store is closed")
	}
	for _, rec := range recs {
		if err := a.appendOne(rec); err != nil {
			return err
		}
	}
	return nil
}

func (a *Audit) appendOne(rec api.AuditRecord) error {
	head := a.head()
	if rec.Sequence == 0 {
		return errors.New("append audit records: a record has no sequence")
	}
	if rec.Sequence <= head.Sequence {
		return a.compare(rec)
	}
	if head.Sequence == 0 {
		head.Hash = api.AuditGenesis
	}
	follows := rec.Sequence == head.Sequence+1
	if follows && rec.PrevHash != head.Hash {
		return &CorruptError{File: a.dir, Index: rec.Sequence, Why: "the state machine made it on another chain than the one kept here"}
	}
	line, err := appendRecord(a.line[:0], rec)
	if err != nil {
		return err
	}
	a.line = line
	if !follows {
		a.log.Warn("audit records are missing here", "from", head.Sequence+1, "to", rec.Sequence-1)
	}
	if err := a.openTail(rec, follows); err != nil {
		return a.failed(disk.Explain("append audit record in", a.dir, err))
	}
	if _, err := a.tail.buf.Write(line); err != nil {
		return a.failed(disk.Explain("append audit record in", a.dir, err))
	}
	last := &a.segs[len(a.segs)-1]
	if a.cached.path == last.path {
		a.cached.scan.lines = append(a.cached.scan.lines, lineAt{off: a.tail.size, n: len(line), hash: rec.Hash})
	}
	a.tail.size += int64(len(line))
	last.last, last.lastHash = rec.Sequence, rec.Hash
	return nil
}

// openTail makes a.tail the file that takes rec, and the last segment the one that it is of.
func (a *Audit) openTail(rec api.AuditRecord, follows bool) error {
	if a.tail == nil && follows && len(a.segs) > 0 {
		path := a.segs[len(a.segs)-1].path
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return errors.Join(err, f.Close())
		}
		a.tail = &tailFile{f: f, buf: bufio.NewWriterSize(f, 64<<10), size: info.Size()}
	}
	if a.tail != nil && follows && a.tail.size < a.size {
		return nil
	}
	if err := a.endTail(); err != nil {
		return err
	}
	path := filepath.Join(a.dir, segmentName(rec.Sequence))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	a.tail = &tailFile{f: f, buf: bufio.NewWriterSize(f, 64<<10)}
	a.newDir = true
	a.segs = append(a.segs, segment{path: path, first: rec.Sequence, last: rec.Sequence - 1, prevHash: rec.PrevHash})
	a.cached = cachedScan{path: path, scan: segmentScan{prevHash: rec.PrevHash}}
	return nil
}

// endTail ends the open segment. Its fsync is left to syncRetired or the next Sync, unless too many wait.
func (a *Audit) endTail() error {
	if a.tail == nil {
		return nil
	}
	f := a.tail.f
	if err := a.tail.buf.Flush(); err != nil {
		return err
	}
	a.tail = nil
	a.retired = append(a.retired, f)
	if len(a.retired) <= maxRetired {
		if !a.syncs {
			a.syncs = true
			a.syncing.Go(a.syncRetired)
		}
		return nil
	}
	oldest := a.retired[0]
	a.retired = a.retired[1:]
	return endFile(oldest)
}

// syncRetired brings ended segments to the disk, the oldest first, until none waits: who applies
// entries does not wait for that.
func (a *Audit) syncRetired() {
	for a.syncOldest() {
	}
}

// syncOldest holds syncMu, so that a Sync that finds the segment gone finds it on the disk.
func (a *Audit) syncOldest() (more bool) {
	a.syncMu.Lock()
	defer a.syncMu.Unlock()
	f := a.oldestRetired()
	if f == nil {
		return false
	}
	if err := endFile(f); err != nil {
		_ = a.failed(disk.Explain("sync audit segment", f.Name(), err)) // the next append or Sync says it
	}
	return true
}

// oldestRetired takes over the ended segment that waits longest; with nil syncRetired ends.
func (a *Audit) oldestRetired() *os.File {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.retired) == 0 || a.fault.Err() != nil {
		a.syncs = false
		return nil
	}
	f := a.retired[0]
	a.retired = a.retired[1:]
	return f
}

// endFile brings what was written to f to the disk and closes it. Ended segments are read by few and
// later: under load there would soon be gigabytes of them in the memory of the machine.
func endFile(f *os.File) error {
	err := f.Sync()
	if err == nil {
		disk.Uncache(f)
	}
	return errors.Join(err, f.Close())
}

// compare checks a record that came again against the one that is held. One that lies in a
// gap is left to Backfill.
func (a *Audit) compare(rec api.AuditRecord) error {
	hash, held, err := a.hashAt(rec.Sequence)
	if err != nil || !held {
		return err
	}
	if hash != rec.Hash {
		return &CorruptError{File: a.dir, Index: rec.Sequence, Why: "the state machine made another record than the one kept here"}
	}
	return nil
}
