package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/store/disk"
)

// Bounds of the audit store.
const (
	// SegmentSize is the size in bytes at which a segment is ended and the next one begun.
	SegmentSize = 4 << 20
	// MaxBackfill bounds the records of one Backfill.
	MaxBackfill = 512
	// MaxAuditPage bounds the records of one Read.
	MaxAuditPage = 1000
	// maxAuditScan bounds the records that one Read looks at.
	maxAuditScan = 1 << 16
	// maxAuditLine bounds one record as a line.
	maxAuditLine = 1 << 20
	// maxRetired bounds the ended segments that wait for their fsync: who ends one more waits
	// for the oldest.
	maxRetired = 8
)

// Audit keeps this node's copy of the audit chain's records in segments: append-only files
// of JSON lines, each named after its first sequence. Records reach the disk when Sync says
// so; what a crash takes from the tail, the replay of the Raft log brings again.
type Audit struct {
	dir  string
	log  hclog.Logger
	size int64 // at which a segment is ended: SegmentSize, but in tests

	syncMu sync.Mutex // held by Sync; before mu

	mu      sync.Mutex
	segs    []segment  // guarded by mu: by rising sequence, never overlapping
	tail    *tailFile  // guarded by mu: the open end of the last segment; nil when none is open
	retired []*os.File // guarded by mu: ended segments that were not synced
	syncs   bool       // guarded by mu: syncRetired runs
	newDir  bool       // guarded by mu: a file was made and the directory not synced
	cached  cachedScan // guarded by mu
	line    []byte     // guarded by mu: scratch, for one record
	closed  bool       // guarded by mu

	syncing sync.WaitGroup // of syncRetired

	forks []*Audit // guarded by mu: the chains that were set aside, the newest first, read only

	fault *disk.Fault // the write that failed; every later one fails with it
}

// segment is one file: records first to last, without a gap.
type segment struct {
	path        string
	first, last uint64
	prevHash    string // what its first record chains to
	lastHash    string
}

// OpenAudit opens the segments in dir, or begins there. A torn last line is cut off; so is a
// tail that does not verify, which is kept beside it under another name.
func OpenAudit(dir string, log hclog.Logger) (*Audit, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open audit segments: %w", err)
	}
	names, err := segmentFiles(dir)
	if err != nil {
		return nil, err
	}
	a := &Audit{dir: dir, log: log, size: SegmentSize, fault: disk.NewFault(nil)}
	for i, name := range names {
		seg, ok, err := a.openSegment(filepath.Join(dir, name), i == len(names)-1)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if n := len(a.segs); n > 0 && a.segs[n-1].last >= seg.first {
			return nil, &CorruptError{File: seg.path, Index: seg.first, Why: "another segment holds it too: " + a.segs[n-1].path}
		}
		if err := a.checkSeam(seg); err != nil {
			return nil, err
		}
		a.segs = append(a.segs, seg)
	}
	return a, a.openForks()
}

// OnFault names who is told, once, of the write that the disk refused or of damage that is not
// mended from a peer: of one before the call too. The node must stop.
func (a *Audit) OnFault(tell func(error)) { a.fault.Tell(tell) }

// checkSeam refuses a segment that begins where the one before ends without chaining to it.
func (a *Audit) checkSeam(seg segment) error {
	before, hash := uint64(0), api.AuditGenesis
	if n := len(a.segs); n > 0 {
		before, hash = a.segs[n-1].last, a.segs[n-1].lastHash
	}
	if before+1 == seg.first && seg.prevHash != hash {
		return &CorruptError{File: seg.path, Index: seg.first, Why: "it does not chain to the record before it"}
	}
	return nil
}

// segmentFiles lists the segments in order and removes what a crash left of making one.
func segmentFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list audit segments: %w", err)
	}
	var names []string
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.Name(), ".tmp"):
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("clean audit segments: %w", err)
			}
		case strings.HasSuffix(e.Name(), segmentSuffix):
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// openSegment learns what a segment holds: the last one by reading and verifying all of it,
// the others from their first and last lines. ok is false when nothing of it is left.
func (a *Audit) openSegment(path string, last bool) (seg segment, ok bool, err error) {
	first, err := firstOf(path)
	if err != nil {
		return segment{}, false, err
	}
	if !last {
		if seg, err = peekSegment(path, first); err == nil {
			return seg, true, nil
		}
		a.log.Warn("audit segment must be read whole", "path", path, "error", err)
	}
	scan, err := scanSegment(path, first)
	if err != nil {
		return segment{}, false, err
	}
	if scan.bad != "" || scan.good == 0 {
		if err := a.cutFile(path, scan); err != nil {
			return segment{}, false, err
		}
	}
	if len(scan.lines) == 0 {
		return segment{}, false, nil
	}
	a.cached = cachedScan{path: path, scan: scan}
	return scan.segment(path, first), true, nil
}

// cutFile cuts a segment after its last good line; a segment without one is removed. What is
// more than a torn write is kept aside as evidence.
func (a *Audit) cutFile(path string, scan segmentScan) error {
	if scan.torn || scan.bad == "" {
		a.log.Info("audit segment ends with a torn line", "path", path, "kept_bytes", scan.good)
	} else {
		a.log.Error("audit segment is damaged", "path", path, "kept_bytes", scan.good, "error", scan.bad)
		if err := keepAside(path, scan.good); err != nil {
			return err
		}
	}
	if scan.good == 0 {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove audit segment: %w", err)
		}
		return disk.SyncDir(filepath.Dir(path))
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cut audit segment: %w", err)
	}
	return disk.Explain("cut audit segment", path, errors.Join(f.Truncate(scan.good), f.Sync(), f.Close()))
}

// Head returns the newest record that is held; the zero head when none is.
func (a *Audit) Head() api.AuditHead {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.head()
}

func (a *Audit) head() api.AuditHead {
	if len(a.segs) == 0 {
		return api.AuditHead{}
	}
	last := a.segs[len(a.segs)-1]
	return api.AuditHead{Sequence: last.last, Hash: last.lastHash}
}

// Sync returns when every appended record is on disk. Appends go on meanwhile.
func (a *Audit) Sync() error {
	a.syncMu.Lock()
	defer a.syncMu.Unlock()
	files, retired, dir, err := a.toSync()
	if err != nil {
		return err
	}
	for _, f := range files {
		if e := f.Sync(); !errors.Is(e, os.ErrClosed) { // an append that ended and closed it synced it first
			err = errors.Join(err, e)
		}
	}
	for _, f := range retired {
		err = errors.Join(err, endFile(f))
	}
	if dir && err == nil {
		err = disk.SyncDir(a.dir)
	}
	if err != nil {
		return a.failed(disk.Explain("sync audit segments in", a.dir, err))
	}
	return nil
}

// toSync flushes the tail and takes over what is to be synced.
func (a *Audit) toSync() (tail, retired []*os.File, dir bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.fault.Err(); err != nil {
		return nil, nil, false, err
	}
	if a.tail != nil {
		if err := a.tail.buf.Flush(); err != nil {
			return nil, nil, false, a.failed(disk.Explain("write audit segment", a.tail.f.Name(), err))
		}
		tail = append(tail, a.tail.f)
	}
	retired, a.retired = a.retired, nil
	dir, a.newDir = a.newDir, false
	return tail, retired, dir, nil
}

// failed remembers the first failed write: what the disk refused once it may have dropped,
// and confirming a later write would hide that.
func (a *Audit) failed(err error) error {
	if a.fault.Err() == nil {
		a.log.Error("audit write failed", "path", a.dir, "error", err)
	}
	return a.fault.Set(err)
}

// Close syncs and closes. It may be called twice.
func (a *Audit) Close() error {
	a.mu.Lock()
	closed := a.closed
	a.closed = true
	a.mu.Unlock()
	a.syncing.Wait()
	if closed {
		return nil
	}
	err := a.Sync()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tail != nil {
		err = errors.Join(err, a.tail.f.Close())
		a.tail = nil
	}
	for _, f := range a.retired { // none, unless a write failed
		err = errors.Join(err, f.Close())
	}
	a.retired = nil
	return err
}
