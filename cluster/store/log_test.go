package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// kinds are the kinds of log that the contract holds for.
func kinds() []Kind { return []Kind{BoltDB, WAL} }

// logOf is where a log of that kind is to be, and how it is opened.
func logOf(t *testing.T, kind Kind) (path string, o LogOptions) {
	t.Helper()
	return logPath(t.TempDir(), kind), options(kind)
}

// options are those of a log whose segments, where it has some, are small.
func options(kind Kind) LogOptions {
	return LogOptions{Kind: kind, Log: hclog.NewNullLogger(), segmentSize: 16 << 10}
}

func openTest(t *testing.T, path string, o LogOptions) *Log {
	t.Helper()
	l, err := OpenLog(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func entry(index, term uint64, data string) *raft.Log {
	return &raft.Log{
		Index: index, Term: term, Type: raft.LogCommand, Data: []byte(data),
		AppendedAt: time.Date(2026, 11, 25, 12, 0, 0, 123456789, time.UTC),
	}
}

// fill writes a log with a term and a vote, as Raft leaves one, and closes it.
func fill(t *testing.T, path string, o LogOptions, n int) []raft.Log {
	t.Helper()
	l, err := OpenLog(path, o)
	if err != nil {
		t.Fatal(err)
	}
	must(t, l.SetUint64([]byte("CurrentTerm"), 3))
	must(t, l.SetUint64([]byte("LastVoteTerm"), 3))
	must(t, l.Set([]byte("LastVoteCand"), []byte("s1")))
	want := make([]raft.Log, n)
	for i := range want {
		e := entry(uint64(i+1), 3, fmt.Sprintf("%03d %s", i, bytes.Repeat([]byte{byte('a' + i%26)}, 10+i*37%900)))
		must(t, l.StoreLog(e))
		want[i] = *e
	}
	must(t, l.Close())
	return want
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLogKeepsWhatItWasGiven(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			l := openTest(t, path, o)
			must(t, l.SetUint64([]byte("CurrentTerm"), 7))
			given := []*raft.Log{
				entry(5, 6, "command"),
				{Index: 6, Term: 7, Type: raft.LogNoop},
				{Index: 7, Term: 7, Type: raft.LogConfiguration, Data: []byte{0}, Extensions: []byte("ext")},
			}
			must(t, l.StoreLogs(given))
			if string(given[0].Data) != "command" {
				t.Error("the caller's entry was changed")
			}
			must(t, l.Close())

			l = openTest(t, path, o)
			for _, want := range given {
				var got raft.Log
				must(t, l.GetLog(want.Index, &got))
				if d := cmp.Diff(*want, got); d != "" {
					t.Errorf("entry %d (-want +got):\n%s", want.Index, d)
				}
			}
			if err := l.GetLog(8, &raft.Log{}); err != raft.ErrLogNotFound { //nolint:errorlint // Raft compares it so
				t.Errorf("entry that is not held: got %v", err)
			}
			if term, err := l.GetUint64([]byte("CurrentTerm")); term != 7 || err != nil {
				t.Errorf("term: got %d, %v", term, err)
			}
			if _, err := l.GetUint64([]byte("nothing")); err == nil || err.Error() != "not found" {
				t.Errorf("value never set: got %v, Raft knows it by the text %q", err, "not found")
			}
			var monotonic raft.MonotonicLogStore = l
			if !monotonic.IsMonotonic() {
				t.Error("the log must not get holes")
			}
		})
	}
}

func TestLogRefusesHoles(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			l := openTest(t, path, o)
			for i := uint64(10); i < 20; i++ {
				must(t, l.StoreLog(entry(i, 0, "x")))
			}
			if err := l.StoreLog(entry(21, 0, "x")); err == nil {
				t.Error("an entry after a hole was taken")
			}
			if err := l.StoreLogs([]*raft.Log{entry(20, 0, "x"), entry(22, 0, "x")}); err == nil {
				t.Error("a batch with a hole was taken")
			}
			if err := l.DeleteRange(12, 14); err == nil {
				t.Error("a hole was cut")
			}
			must(t, l.DeleteRange(0, 9))
			must(t, l.DeleteRange(30, 40))
			must(t, l.DeleteRange(15, 12))
			expectRange(t, l, 10, 19)
			must(t, l.DeleteRange(18, 19))
			must(t, l.DeleteRange(1, 12))
			expectRange(t, l, 13, 17)
			must(t, l.DeleteRange(1, 100))
			expectRange(t, l, 0, 0)
			must(t, l.StoreLog(entry(500, 0, "after a snapshot")))
			expectRange(t, l, 500, 500)
		})
	}
}

func expectRange(t *testing.T, l *Log, first, last uint64) {
	t.Helper()
	gotFirst, err := l.FirstIndex()
	must(t, err)
	gotLast, err := l.LastIndex()
	must(t, err)
	if gotFirst != first || gotLast != last {
		t.Errorf("log holds %d to %d, want %d to %d", gotFirst, gotLast, first, last)
	}
}

func TestLogCompactsInChunks(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			l := openTest(t, path, o)
			const n = 3*DeleteChunk + 100
			batch := make([]*raft.Log, 0, n)
			for i := range uint64(n) {
				batch = append(batch, entry(i+1, 0, "x"))
			}
			must(t, l.StoreLogs(batch))
			more, err := l.deleteSome(1, n-10)
			must(t, err)
			if o.Kind == BoltDB {
				if !more {
					t.Error("one chunk deleted everything")
				}
				expectRange(t, l, DeleteChunk+1, n)
			}
			must(t, l.Close()) // as after a crash between two chunks

			l = openTest(t, path, o)
			must(t, l.DeleteRange(1, n-10))
			must(t, l.Close())
			l = openTest(t, path, o)
			expectRange(t, l, n-9, n)
		})
	}
}

// TestLogAgainstInmem drives the log and Raft's own store with the same calls.
func TestLogAgainstInmem(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logPath(scratch(t), kind), options(kind)
			o.segmentSize = 512 // rotate often
			runs := 0
			rapid.Check(t, func(rt *rapid.T) {
				runs++
				againstInmem(rt, fmt.Sprintf("%s%d", path, runs), o)
			})
		})
	}
}

func againstInmem(rt *rapid.T, path string, o LogOptions) {
	l, err := OpenLog(path, o)
	if err != nil {
		rt.Fatal(err)
	}
	defer func() { l.Close() }() //nolint:errcheck // closed again below
	model, next := raft.NewInmemStore(), rapid.Uint64Range(1, 1<<40).Draw(rt, "start")
	for range rapid.IntRange(1, 12).Draw(rt, "steps") {
		first, _ := model.FirstIndex()
		last, _ := model.LastIndex()
		switch rapid.SampledFrom([]string{"append", "append", "compact", "truncate", "reopen"}).Draw(rt, "step") {
		case "append":
			var batch []*raft.Log
			for range rapid.IntRange(1, 5).Draw(rt, "n") {
				batch = append(batch, &raft.Log{Index: next, Data: rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(rt, "data")})
				next++
			}
			check(rt, l.StoreLogs(batch))
			check(rt, model.StoreLogs(batch))
		case "compact":
			if last == 0 {
				continue
			}
			upTo := rapid.Uint64Range(first, last).Draw(rt, "upTo")
			check(rt, l.DeleteRange(first, upTo))
			check(rt, model.DeleteRange(first, upTo))
		case "truncate":
			if last == 0 {
				continue
			}
			from := rapid.Uint64Range(first, last).Draw(rt, "from")
			check(rt, l.DeleteRange(from, last))
			check(rt, model.DeleteRange(from, last))
			next = from
		case "reopen":
			check(rt, l.Close())
			if l, err = OpenLog(path, o); err != nil {
				rt.Fatal(err)
			}
		}
		compareLogs(rt, l, model)
	}
}

func compareLogs(rt *rapid.T, l *Log, model *raft.InmemStore) {
	first, _ := model.FirstIndex()
	last, _ := model.LastIndex()
	if first > last {
		first, last = 0, 0
	}
	gotFirst, _ := l.FirstIndex()
	gotLast, _ := l.LastIndex()
	if gotFirst != first || gotLast != last {
		rt.Fatalf("holds %d to %d, want %d to %d", gotFirst, gotLast, first, last)
	}
	for i := first; i <= last && i != 0; i++ {
		var got, want raft.Log
		check(rt, l.GetLog(i, &got))
		check(rt, model.GetLog(i, &want))
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatalf("entry %d (-want +got):\n%s", i, d)
		}
	}
}

func check(rt *rapid.T, err error) {
	rt.Helper()
	if err != nil {
		rt.Fatal(err)
	}
}

func TestLogIsOneProcess(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			openTest(t, path, o)
			if _, err := OpenLog(path, o); err == nil {
				t.Error("a log that is open was opened again")
			}
		})
	}
}

func TestLogAfterClose(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			fill(t, path, o, 2)
			var faults []error
			o.OnFault = func(err error) { faults = append(faults, err) }
			l, err := OpenLog(path, o)
			must(t, err)
			must(t, l.Close())
			must(t, l.Close())
			if err := l.StoreLog(entry(3, 3, "late")); err == nil {
				t.Error("a closed log took an entry")
			}
			if err := l.GetLog(1, &raft.Log{}); err == nil {
				t.Error("a closed log gave an entry")
			}
			if len(faults) != 0 {
				t.Errorf("closing is no fault: %v", faults)
			}
		})
	}
}

func TestLogStopsAtAFailedWrite(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			var faults []error
			o.OnFault = func(err error) { faults = append(faults, err) }
			l, err := OpenLog(path, o)
			must(t, err)
			defer l.Close() //nolint:errcheck // the test is over
			must(t, l.SetUint64([]byte("CurrentTerm"), 9))
			eio := errors.New("input/output error")
			l.mu.Lock()
			got := l.write("append to raft log", func() error { return eio })
			l.mu.Unlock()
			if !errors.Is(got, eio) {
				t.Fatalf("got %v", got)
			}
			if err := l.StoreLog(entry(1, 0, "x")); !errors.Is(err, eio) {
				t.Errorf("a write after a failed one: got %v", err)
			}
			for _, term := range []uint64{9, 10} {
				if err := l.SetUint64([]byte("CurrentTerm"), term); !errors.Is(err, eio) {
					t.Errorf("term %d after a failed write: got %v", term, err)
				}
			}
			if err := l.DeleteRange(1, 1); err != nil {
				t.Errorf("nothing to delete: %v", err)
			}
			if len(faults) != 1 {
				t.Errorf("told of %d faults, want 1", len(faults))
			}
		})
	}
}

func TestLogCatchesAPanic(t *testing.T) {
	l := openTest(t, logPath(t.TempDir(), BoltDB), options(BoltDB))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write("append to raft log", func() error { panic("page 7: invalid") }); err == nil {
		t.Error("a panic of bolt was lost")
	}
}

// TestFullDiskIsNamed: no room is told from other failures, with the file and what to do.
func TestFullDiskIsNamed(t *testing.T) {
	l := openTest(t, logPath(t.TempDir(), BoltDB), options(BoltDB))
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.write("append to raft log", func() error { return &os.PathError{Op: "write", Path: l.path, Err: syscall.ENOSPC} })
	full, ok := errors.AsType[*FullError](err)
	if !ok || full.File != l.path || !strings.Contains(err.Error(), "free space on the file system of "+filepath.Dir(l.path)) {
		t.Errorf("got %v", err)
	}
}
