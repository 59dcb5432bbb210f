package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rotated fills a WAL until its first segment is sealed and the next one begun, and returns
// the meta file of before, and how many entries the sealed segment holds.
func rotated(t *testing.T, path string, o LogOptions) (before []byte, n uint64) {
	t.Helper()
	l, err := OpenLog(path, o)
	must(t, err)
	before, err = os.ReadFile(walMetaPath(path))
	must(t, err)
	var segs []string
	for i, more := uint64(1), true; more; i++ {
		more = len(segs) < 2 // and one into the second segment, which may have been made at once
		must(t, l.StoreLog(entry(i, 0, strings.Repeat("r", int(i)*31))))
		segs, err = filepath.Glob(filepath.Join(path, "*.wal"))
		must(t, err)
	}
	must(t, l.Close())
	b, err := os.ReadFile(slices.Min(segs))
	must(t, err)
	sealed, err := scanTail(bytes.NewReader(b), int64(len(b)))
	must(t, err)
	return before, sealed.entries
}

// sealedAlone leaves of a rotated log what a crash before the rotation leaves: the first
// segment, sealed, and a meta file that does not know.
func sealedAlone(t *testing.T, path string, meta []byte, n uint64) (segment string) {
	t.Helper()
	must(t, os.WriteFile(walMetaPath(path), meta, 0o600))
	segs, err := filepath.Glob(filepath.Join(path, "*.wal"))
	must(t, err)
	slices.Sort(segs)
	for _, s := range segs[1:] {
		must(t, os.Remove(s))
	}
	setMark(t, path, n)
	return segs[0]
}

// setMark makes n the newest entry that was acknowledged, of a log that holds more.
func setMark(t *testing.T, path string, n uint64) {
	t.Helper()
	m, _, err := readMark(path + markSuffix)
	must(t, err)
	m.last, m.sum = n, 0
	prev := uint32(0)
	for i := uint64(1); i <= n; i++ {
		_, prev = sealEntry(entry(i, 0, strings.Repeat("r", int(i)*31)), prev)
	}
	m.sum = prev
	must(t, os.WriteFile(path+markSuffix, m.encode(), 0o600))
}

func expectContinues(t *testing.T, path string, o LogOptions, n uint64) {
	t.Helper()
	l := openTest(t, path, o)
	expectRange(t, l, 1, n)
	for i := n + 1; i < n+100; i++ { // and through some rotations
		must(t, l.StoreLog(entry(i, 0, strings.Repeat("r", int(i)*31))))
	}
	expectRange(t, l, 1, n+99)
}

// TestWALCrashBeforeRotation: raft-wal refuses every append to such a log, for ever.
func TestWALCrashBeforeRotation(t *testing.T) {
	path, o := logPath(t.TempDir(), WAL), options(WAL)
	meta, n := rotated(t, path, o)
	sealedAlone(t, path, meta, n)
	expectContinues(t, path, o, n)
}

// TestWALForeignSegment: an older segment in the place of the last one is whole by itself, and no
// rotation that a crash cut short. Which file it is, is said, and nothing is changed.
func TestWALForeignSegment(t *testing.T) {
	path, o := logPath(t.TempDir(), WAL), options(WAL)
	rotated(t, path, o)
	segs, err := filepath.Glob(filepath.Join(path, "*.wal"))
	must(t, err)
	b, err := os.ReadFile(slices.Min(segs))
	must(t, err)
	must(t, os.WriteFile(slices.Max(segs), b, 0o600))
	before, err := os.ReadFile(walMetaPath(path))
	must(t, err)
	_, err = OpenLog(path, o)
	if bad, is := errors.AsType[*CorruptError](err); !is || bad.File != slices.Max(segs) {
		t.Errorf("opened with %v, want the damage of %s", err, slices.Max(segs))
	}
	after, err := os.ReadFile(walMetaPath(path))
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the meta file was changed")
	}
}

// TestWALTornSeal: so it does after a crash that tore the batch which seals a segment.
func TestWALTornSeal(t *testing.T) {
	for _, kept := range []string{"nothing", "the entry", "the index", "all but the commit", "all but a sector within"} {
		t.Run(kept, func(t *testing.T) {
			path, o := logPath(t.TempDir(), WAL), options(WAL)
			meta, n := rotated(t, path, o)
			segment := sealedAlone(t, path, meta, n-1) // the last one was not acknowledged
			b, err := os.ReadFile(segment)
			must(t, err)
			tail, err := scanTail(bytes.NewReader(b), int64(len(b)))
			must(t, err)
			if tail.indexStart == 0 || tail.entries != n || tail.dirty {
				t.Fatalf("the segment is not a sealed one: %+v", tail)
			}
			index := int(tail.indexStart) - walFrameLen
			batch := index - 100
			switch kept {
			case "nothing":
				clear(b[batch:])
			case "the entry":
				clear(b[index:])
			case "the index":
				clear(b[index+walFrameLen:])
			case "all but the commit":
				clear(b[int(tail.end)-walFrameLen:])
			case "all but a sector within":
				clear(b[batch : batch+64])
			}
			must(t, os.WriteFile(segment, b, 0o600))
			expectContinues(t, path, o, n-1)
		})
	}
}

// TestWALDamagedTail: raft-wal takes damage of its last segment for a torn write, and goes on
// without what follows.
func TestWALDamagedTail(t *testing.T) {
	path, o := logPath(t.TempDir(), WAL), options(WAL)
	o.segmentSize = 1 << 20
	want := fill(t, path, o, 40)
	segs, err := filepath.Glob(filepath.Join(path, "*.wal"))
	must(t, err)
	whole, err := os.ReadFile(segs[0])
	must(t, err)
	tail, err := scanTail(bytes.NewReader(whole), int64(len(whole)))
	must(t, err)
	if len(segs) != 1 || tail.entries != 40 || tail.dirty {
		t.Fatalf("%d segments, the last is %+v", len(segs), tail)
	}
	mark, err := os.ReadFile(path + markSuffix)
	must(t, err)
	unseen := 0
	for at := int64(0); at < tail.end; at += 131 {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		must(t, os.WriteFile(segs[0], b, 0o600))
		must(t, os.WriteFile(path+markSuffix, mark, 0o600))
		l, err := OpenLog(path, o)
		if err == nil { // the unused bytes of a frame's head
			expectEntries(t, l, want)
			must(t, l.Close())
			unseen++
		} else if !suspect(err) {
			t.Fatalf("byte %d: not a CorruptError: %v", at, err)
		} else if kept, err := os.ReadFile(segs[0]); err != nil || !bytes.Equal(kept, b) {
			t.Fatalf("byte %d: the evidence was changed: %v", at, err)
		}
	}
	if unseen > int(tail.end)/131/20 {
		t.Errorf("%d of %d flips were not seen", unseen, tail.end/131)
	}
	for at := tail.end; at < int64(len(whole)); at += 10007 {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		must(t, os.WriteFile(segs[0], b, 0o600))
		l, err := OpenLog(path, o)
		if err != nil {
			t.Fatalf("byte %d, which nobody wrote: %v", at, err)
		}
		expectRange(t, l, 1, 40)
		must(t, l.Close())
		if mended, err := os.ReadFile(segs[0]); err != nil || !bytes.Equal(mended, whole) {
			t.Fatalf("byte %d was not wiped: %v", at, err)
		}
	}
}

// TestWALDamageWithoutAMark: even when a power cut left the mark behind, a damaged batch with
// a whole one after it is no torn write.
func TestWALDamageWithoutAMark(t *testing.T) {
	path, o := logPath(t.TempDir(), WAL), options(WAL)
	o.segmentSize = 1 << 20
	l, err := OpenLog(path, o)
	must(t, err)
	stale, err := os.ReadFile(path + markSuffix)
	must(t, err)
	for i := range uint64(20) {
		must(t, l.StoreLog(entry(i+1, 0, fmt.Sprintf("<<%03d>>", i+1))))
	}
	must(t, l.Close())
	segs, err := filepath.Glob(filepath.Join(path, "*.wal"))
	must(t, err)
	whole, err := os.ReadFile(segs[0])
	must(t, err)
	must(t, os.WriteFile(segs[0], bytes.Replace(whole, []byte("<<010>>"), []byte("<<011>>"), 1), 0o600))
	must(t, os.WriteFile(path+markSuffix, stale, 0o600))
	expectCorrupt(t, path, o, segs[0], "and one after it is whole")
}

func TestWALFilesThatAreGone(t *testing.T) {
	path, o := logPath(t.TempDir(), WAL), options(WAL)
	rotated(t, path, o)
	files, err := os.ReadDir(path)
	must(t, err)
	if len(files) != 4 {
		t.Fatalf("want two segments, their meta file and the values, got %v", files)
	}
	for _, f := range files {
		broken := logPath(t.TempDir(), WAL)
		copyTree(t, path, broken)
		besides(t, path, broken)
		must(t, os.Remove(filepath.Join(broken, f.Name())))
		if l, err := OpenLog(broken, o); !suspect(err) {
			t.Errorf("without %s: got %v (%v)", f.Name(), err, l)
		}
	}
	must(t, os.Remove(path+markSuffix))
	must(t, os.Remove(path+votesSuffix))
	must(t, os.Remove(walMetaPath(path)))
	expectCorrupt(t, path, o, walMetaPath(path), "its segments are not")
}

func TestWALMetaIsVerified(t *testing.T) {
	path, o := logPath(t.TempDir(), WAL), options(WAL)
	rotated(t, path, o)
	whole, err := os.ReadFile(walMetaPath(path))
	must(t, err)
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		must(t, os.WriteFile(walMetaPath(path), b, 0o600))
		expectCorrupt(t, path, o, walMetaPath(path), "checksum")
	}
}

// TestWALTellsOfARotationThatFails: raft-wal only logs it.
func TestWALTellsOfARotationThatFails(t *testing.T) {
	path, o := logPath(t.TempDir(), WAL), options(WAL)
	told := make(chan error, 2) // from raft-wal's own goroutine
	o.OnFault = func(err error) { told <- err }
	l, err := OpenLog(path, o)
	must(t, err)
	defer l.Close()                                    //nolint:errcheck // the test is over
	must(t, os.Mkdir(walMetaPath(path)+".tmp", 0o700)) // where the next meta file is written
	failed := uint64(0)
	for i := uint64(1); i < 2000 && failed == 0; i++ {
		if err := l.StoreLog(entry(i, 0, strings.Repeat("r", 200))); err != nil {
			failed = i
		}
	}
	if failed == 0 {
		t.Fatal("no append failed")
	}
	if err := <-told; !strings.Contains(err.Error(), walMetaPath(path)) || len(told) > 0 {
		t.Errorf("append %d failed, told of %v and %d more", failed, err, len(told))
	}
}
