package snap

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/cluster/store/disk"
)

func corrupt(err error) bool {
	_, ok := errors.AsType[*disk.CorruptError](err)
	return ok
}

func TestSnapshotIsReadAsItWasWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, opts())
	if got := newest(t, s); got != "" {
		t.Errorf("a new store lists %s", got)
	}
	id := create(t, s, 10, 2, payloadOf(10))
	for range 2 { // as it is, and opened again
		metas, err := s.List()
		must(t, err)
		want := []*raft.SnapshotMeta{{
			Version: 1, ID: id, Index: 10, Term: 2, Configuration: configuration(), ConfigurationIndex: 9, Size: int64(len(payloadOf(10))),
		}}
		if d := cmp.Diff(want, metas); d != "" {
			t.Errorf("listed (-want +got):\n%s", d)
		}
		if !bytes.Equal(readAll(t, s, id), payloadOf(10)) {
			t.Error("another payload was read")
		}
		s = open(t, dir, opts())
	}
	empty := create(t, s, 11, 2, nil)
	if got := readAll(t, open(t, dir, opts()), empty); len(got) != 0 {
		t.Errorf("an empty snapshot holds %d bytes", len(got))
	}
	if _, _, err := s.Open("2-99-0"); err == nil {
		t.Error("a snapshot that is not held was opened")
	}
	if _, err := s.Create(0, 1, 1, raft.Configuration{}, 1, nil); err == nil {
		t.Error("a snapshot of version 0 was begun")
	}
}

func TestTheNewestTwoAreKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, opts())
	var settled []uint64
	s.o.Settled = func(index, _ uint64) error { settled = append(settled, index); return nil }
	first := create(t, s, 10, 1, payloadOf(10))
	_, reading, err := s.Open(first)
	must(t, err)
	create(t, s, 20, 1, payloadOf(20))
	third := create(t, s, 30, 2, payloadOf(30))
	if got := names(t, dir); len(got) != 2 || newest(t, s) != third {
		t.Errorf("holds %v, lists %s", got, newest(t, s))
	}
	if !slices.Equal(settled, []uint64{10, 20, 30}) {
		t.Errorf("settled on %v", settled)
	}
	if b, err := io.ReadAll(reading); err != nil || !bytes.Equal(b, payloadOf(10)) {
		t.Errorf("the snapshot that is being read was removed under the reader: %v", err)
	}
	must(t, reading.Close())
}

func TestUnfinishedSnapshotsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, opts())
	id := create(t, s, 10, 1, payloadOf(10))
	k, err := s.Create(1, 20, 1, configuration(), 1, nil)
	must(t, err)
	_, err = k.Write(payloadOf(20))
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(dir, "snapshots", "1-15-1.tmp"), 0o700)) // of the first release
	if got := names(t, dir); len(got) != 3 {
		t.Fatalf("holds %v", got)
	}
	s = open(t, dir, opts()) // as after a crash
	if got := names(t, dir); !slices.Equal(got, []string{id + ".snap"}) || newest(t, s) != id {
		t.Errorf("holds %v", got)
	}
	k, err = s.Create(1, 20, 1, configuration(), 1, nil)
	must(t, err)
	_, err = k.Write(payloadOf(20))
	must(t, err)
	must(t, k.Cancel())
	must(t, k.Cancel())
	must(t, k.Close())
	if got := names(t, dir); !slices.Equal(got, []string{id + ".snap"}) {
		t.Errorf("holds %v after a cancelled one", got)
	}
}

// TestEveryBitIsCovered: whatever single byte of an archive changes, and wherever it is cut,
// nobody reads it to its end.
func TestEveryBitIsCovered(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, opts())
	id := create(t, s, 10, 2, []byte("a payload of some bytes"))
	path := filepath.Join(dir, "snapshots", id+".snap")
	whole, err := os.ReadFile(path)
	must(t, err)
	bad := filepath.Join(t.TempDir(), "archive")
	expect := func(what string, at int, b []byte) {
		t.Helper()
		must(t, os.WriteFile(bad, b, 0o600))
		if _, err := Verify(bad); !corrupt(err) {
			t.Fatalf("%s %d: Verify says %v", what, at, err)
		}
		_, r, err := ReadArchive(iotest.OneByteReader(bytes.NewReader(b)), "stdin")
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if !corrupt(err) {
			t.Fatalf("%s %d: ReadArchive says %v", what, at, err)
		}
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		expect("flip", at, b)
		expect("cut", at, whole[:at])
	}
	expect("longer", 1, append(bytes.Clone(whole), 0))
	info, err := Verify(path)
	must(t, err)
	inspected, err := Inspect(path)
	must(t, err)
	if d := cmp.Diff(info, inspected); d != "" || info.Index != 10 || info.Term != 2 || info.Size != 23 || info.Configuration[1].Suffrage != "nonvoter" {
		t.Errorf("got %+v, inspected differs by %s", info, d)
	}
}

// TestTheLastBytesAreKeptBack: a reader that must see the end of the payload cannot be
// satisfied by a damaged one, however it reads.
func TestTheLastBytesAreKeptBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, opts())
	id := create(t, s, 10, 2, payloadOf(10))
	path := filepath.Join(dir, "snapshots", id+".snap")
	var told []error
	s.o.Fault = disk.NewFault(func(err error) { told = append(told, err) })
	flip(t, path, -200_000)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "bytes": iotest.OneByteReader,
	} {
		_, r, err := s.Open(id)
		must(t, err)
		n, err := io.Copy(io.Discard, wrap(r))
		if !corrupt(err) || n >= int64(len(payloadOf(10))) {
			t.Errorf("%s: read %d bytes, then %v", name, n, err)
		}
		must(t, r.Close())
	}
	if len(told) != 1 {
		t.Errorf("told of %d faults", len(told))
	}
	if _, err := s.Create(1, 20, 2, configuration(), 1, nil); err == nil {
		t.Error("a snapshot was begun on a disk that rots")
	}
}

func TestExportIsAnArchive(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, opts())
	id := create(t, s, 10, 2, payloadOf(10))
	var out bytes.Buffer
	info, err := s.Export(id, &out)
	must(t, err)
	stored, err := os.ReadFile(filepath.Join(dir, "snapshots", id+".snap"))
	must(t, err)
	if !bytes.Equal(out.Bytes(), stored) {
		t.Error("the archive is not the stored snapshot")
	}
	read, r, err := ReadArchive(&out, "stdin")
	must(t, err)
	b, err := io.ReadAll(r)
	must(t, err)
	if d := cmp.Diff(info, read); d != "" || !bytes.Equal(b, payloadOf(10)) {
		t.Errorf("read another snapshot (-want +got):\n%s", d)
	}
	flip(t, filepath.Join(dir, "snapshots", id+".snap"), -1)
	out.Reset()
	if _, err := s.Export(id, &out); !corrupt(err) {
		t.Errorf("exported a damaged snapshot: %v", err)
	}
	_, r, err = ReadArchive(&out, "stdin")
	must(t, err)
	if _, err := io.Copy(io.Discard, r); !corrupt(err) {
		t.Errorf("what was written of it verifies: %v", err)
	}
	if _, err := s.Export("1-1-1", &out); err == nil {
		t.Error("a snapshot that is not held was exported")
	}
}

// TestSnapshotsOfTheFirstRelease: Raft's own store wrote them; they are read, exported, and go
// as newer ones come.
func TestSnapshotsOfTheFirstRelease(t *testing.T) {
	dir := t.TempDir()
	old, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, opts().Log)
	must(t, err)
	create(t, old, 10, 2, payloadOf(10))
	id := create(t, old, 20, 2, payloadOf(20))
	s := open(t, dir, opts())
	if newest(t, s) != id || !bytes.Equal(readAll(t, s, id), payloadOf(20)) {
		t.Errorf("lists %s, want %s", newest(t, s), id)
	}
	var out bytes.Buffer
	info, err := s.Export(id, &out)
	must(t, err)
	archive := filepath.Join(t.TempDir(), "archive")
	must(t, os.WriteFile(archive, out.Bytes(), 0o600))
	verified, err := Verify(archive)
	must(t, err)
	if d := cmp.Diff(info, verified); d != "" || info.Index != 20 || len(info.Configuration) != 2 {
		t.Errorf("exported %+v, %s", info, d)
	}
	create(t, s, 30, 2, payloadOf(30))
	last := create(t, s, 40, 2, payloadOf(40))
	if got := names(t, dir); len(got) != 2 || newest(t, s) != last {
		t.Errorf("holds %v", got)
	}
}

func TestDamagedSnapshotsOfTheFirstRelease(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"a bit of the payload": func(t *testing.T, dir string) { t.Helper(); flip(t, filepath.Join(dir, "state.bin"), 1000) },
		"no payload":           func(t *testing.T, dir string) { t.Helper(); must(t, os.Remove(filepath.Join(dir, "state.bin"))) },
		"no meta":              func(t *testing.T, dir string) { t.Helper(); must(t, os.Remove(filepath.Join(dir, "meta.json"))) },
		"an unreadable meta":   func(t *testing.T, dir string) { t.Helper(); flip(t, filepath.Join(dir, "meta.json"), 0) },
		"another index": func(t *testing.T, dir string) {
			t.Helper()
			b, err := os.ReadFile(filepath.Join(dir, "meta.json"))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "meta.json"), bytes.Replace(b, []byte(`"Index":20`), []byte(`"Index":28`), 1), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			old, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, opts().Log)
			must(t, err)
			create(t, old, 10, 2, payloadOf(10))
			id := create(t, old, 20, 2, payloadOf(20))
			damage(t, filepath.Join(dir, "snapshots", id))
			if s, err := Open(dir, opts()); !corrupt(err) {
				t.Errorf("opened (%v), %v: Raft's own store would fall back in silence", s, err)
			}
		})
	}
}

// TestFallBackOnlyWhereTheLogReaches is the decision about a damaged or vanished newest
// snapshot.
func TestFallBackOnlyWhereTheLogReaches(t *testing.T) {
	damage := map[string]func(t *testing.T, path string){
		"payload":  func(t *testing.T, path string) { t.Helper(); flip(t, path, -1) },
		"manifest": func(t *testing.T, path string) { t.Helper(); flip(t, path, 20) },
		"empty":    func(t *testing.T, path string) { t.Helper(); must(t, os.Truncate(path, 0)) },
		"gone":     func(t *testing.T, path string) { t.Helper(); must(t, os.Remove(path)) },
		"renamed": func(t *testing.T, path string) {
			t.Helper()
			must(t, os.Rename(path, filepath.Join(filepath.Dir(path), "2-20-1.snap")))
		},
	}
	for name, damage := range damage {
		for _, tt := range []struct {
			first, last uint64 // what the log holds
			both        bool   // the one before is damaged too
			settled     uint64
			refused     bool
		}{
			{first: 12, last: 30, refused: true},
			{first: 11, last: 19, refused: true},
			{first: 11, last: 20, settled: 10},
			{first: 1, last: 30, settled: 10},
			{first: 1, last: 30, both: true, settled: 0},
			{first: 2, last: 30, both: true, refused: true},
			{first: 0, last: 0, refused: true},
		} {
			dir := t.TempDir()
			s := open(t, dir, opts())
			first := create(t, s, 10, 2, payloadOf(10))
			second := create(t, s, 20, 2, payloadOf(20))
			damage(t, filepath.Join(dir, "snapshots", second+".snap"))
			if tt.both {
				flip(t, filepath.Join(dir, "snapshots", first+".snap"), -7)
			}
			o, settled := opts(), uint64(99)
			o.Floor = 20
			o.Replay = func(from, to uint64) bool { return tt.first != 0 && tt.first <= from && to <= tt.last }
			o.Settled = func(index, _ uint64) error { settled = index; return nil }
			s, err := Open(dir, o)
			if tt.refused {
				if !corrupt(err) {
					t.Errorf("%s, log %d to %d: got %v, want it refused", name, tt.first, tt.last, err)
				}
				continue
			}
			if err != nil || settled != tt.settled {
				t.Errorf("%s, log %d to %d: settled on %d, %v; want %d", name, tt.first, tt.last, settled, err, tt.settled)
				continue
			}
			if want := map[uint64]string{10: first}[tt.settled]; newest(t, s) != want {
				t.Errorf("%s: lists %q, want %q", name, newest(t, s), want)
			}
			o.Floor = tt.settled
			open(t, dir, o) // what was damaged is out of the way
		}
	}
}

func TestManifestOfTheFuture(t *testing.T) {
	info := Info{
		Format: Format + 1, ID: "1-1-1", Index: 1, Term: 1, Configuration: []Server{}, SHA256: strings.Repeat("ab", 32),
	}
	head, err := info.head(512)
	must(t, err)
	if _, _, err := ReadArchive(bytes.NewReader(head), "stdin"); !corrupt(err) || !strings.Contains(err.Error(), "format 2, this release knows 1") {
		t.Errorf("got %v", err)
	}
}
