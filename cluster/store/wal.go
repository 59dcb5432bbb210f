package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	walseg "github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"github.com/grafos/grafos/cluster/store/disk"
)

// openWAL opens the write-ahead log in the directory path, or begins one. raft-wal takes what
// it cannot read at the end for a write that a crash tore, and goes on without it; what it
// leaves to that is decided here first, and last is the newest entry that must be there.
func openWAL(path string, o LogOptions, last uint64) (*opened, error) {
	meta, err := openWALMeta(path, o)
	if err != nil {
		return nil, err
	}
	if err := meta.prepareTail(last); err != nil {
		return nil, err
	}
	stable, err := openWALValues(path)
	if err != nil {
		return nil, err
	}
	vfs := &walFS{VFS: walfs.New(), fault: o.fault, unsynced: o.unsynced}
	var w *wal.WAL
	err = guarded(func() error {
		var err error
		w, err = wal.Open(path, wal.WithMetaStore(meta), wal.WithSegmentFiler(walseg.NewFiler(path, vfs)),
			wal.WithSegmentSize(o.segmentSize), wal.WithLogger(o.Log.Named("wal")))
		return err
	})
	if err != nil {
		return nil, errors.Join(walError(path, err), stable.f.close())
	}
	return &opened{engine: walEngine{w, stable}, stored: stable.stored()}, nil
}

// walError says what opening a write-ahead log met: something of this moment, or damage.
func walError(path string, err error) error {
	err = disk.Explain("open raft log", path, err)
	if _, full := errors.AsType[*FullError](err); full || errors.Is(err, fs.ErrPermission) {
		return err
	}
	return &CorruptError{File: path, Why: err.Error()}
}

// walEngine is a raft-wal with stable values that are verified.
type walEngine struct {
	*wal.WAL
	stable *walValues
}

// Set stores a stable value.
func (w walEngine) Set(key, sealed []byte) error { return w.stable.Set(key, sealed) }

// Get returns a stable value.
func (w walEngine) Get(key []byte) ([]byte, error) { return w.stable.Get(key) }

// Close closes the log and the values.
func (w walEngine) Close() error { return errors.Join(w.WAL.Close(), w.stable.f.close()) }

// walFS is the file system of the segments. It tells of a segment that could not be made:
// raft-wal makes the next one between two appends, and only logs that it failed.
type walFS struct {
	types.VFS
	fault    *disk.Fault
	unsynced bool
}

// Create makes a segment.
func (v *walFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := v.VFS.Create(dir, name, size)
	if err != nil {
		return nil, v.fault.Set(disk.Explain("make raft log segment", filepath.Join(dir, name), err))
	}
	return v.wrap(f), nil
}

// OpenWriter opens the segment that is written next.
func (v *walFS) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := v.VFS.OpenWriter(dir, name)
	if err != nil {
		return nil, err
	}
	return v.wrap(f), nil
}

func (v *walFS) wrap(f types.WritableFile) types.WritableFile {
	if v.unsynced {
		return unsyncedFile{f}
	}
	return f
}

// unsyncedFile never syncs: the proof that a power cut is noticed needs a log that loses.
type unsyncedFile struct{ types.WritableFile }

// Sync does nothing.
func (unsyncedFile) Sync() error { return nil }

// prepareTail looks at the segment that is written next, as a crash may have left it: what
// was torn is wiped, and a rotation that was begun is finished.
func (m *walMeta) prepareTail(last uint64) error {
	s := m.state()
	if len(s.Segments) == 0 || !s.Segments[len(s.Segments)-1].SealTime.IsZero() {
		return nil
	}
	seg := s.Segments[len(s.Segments)-1]
	path := filepath.Join(m.dir, walseg.FileName(seg))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) && last < seg.BaseIndex {
		return nil // it was about to be made
	}
	if err != nil {
		return walError(path, err)
	}
	defer f.Close() //nolint:errcheck // what was written is synced
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open raft log: %w", err)
	}
	if err := isSegment(f, seg); err != nil {
		return &CorruptError{File: path, Why: err.Error()}
	}
	tail, err := scanTail(f, info.Size())
	if err != nil {
		return &CorruptError{File: path, Why: err.Error()}
	}
	newest := seg.BaseIndex + tail.entries - 1
	if last > newest {
		return lost(path, last, newest)
	}
	if tail.dirty {
		m.log.Warn("what was not acknowledged is wiped from the raft log", "path", path, "from", tail.end)
		if err := wipe(f, tail.end, info.Size()); err != nil {
			return disk.Explain("wipe the end of raft log segment", path, err)
		}
	}
	if tail.indexStart == 0 {
		return nil
	}
	return m.seal(newest, tail.indexStart)
}

// isSegment looks whether a file is the segment that it should be: another one's, whole by itself,
// would be taken for a rotation that a crash cut short. A header of zeros is one that was not
// written yet.
func isSegment(f io.ReaderAt, want types.SegmentInfo) error {
	var h [walHeaderLen]byte
	if _, err := f.ReadAt(h[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read its header: %w", err)
	}
	if h == [walHeaderLen]byte{} {
		return nil
	}
	base, id := binary.LittleEndian.Uint64(h[8:]), binary.LittleEndian.Uint64(h[16:])
	if base != want.BaseIndex || id != want.ID {
		return fmt.Errorf("it is segment %d from entry %d on: segment %d from entry %d on should be here", id, base, want.ID, want.BaseIndex)
	}
	return nil
}

// wipe makes everything from end on zero again.
func wipe(f *os.File, end, size int64) error {
	if err := f.Truncate(end); err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}
