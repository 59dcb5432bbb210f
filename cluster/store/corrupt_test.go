package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

func key(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// edit changes the log behind the store's back.
func edit(t *testing.T, path string, f func(logs, conf *bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { return f(tx.Bucket([]byte("logs")), tx.Bucket([]byte("conf"))) }))
	must(t, db.Close())
}

func TestCorruptValuesAreNamed(t *testing.T) {
	flip := func(b *bbolt.Bucket, k []byte, at int) error {
		v := bytes.Clone(b.Get(k))
		v[(at+len(v))%len(v)] ^= 0x10
		return b.Put(k, v)
	}
	tests := []struct {
		name  string
		edit  func(logs, conf *bbolt.Bucket) error
		index uint64
		key   string
		why   string
	}{
		{name: "a bit of an entry's data", index: 4, edit: func(logs, _ *bbolt.Bucket) error {
			return flip(logs, key(4), bytes.Index(logs.Get(key(4)), []byte("ddddd")))
		}},
		{name: "two entries swapped", index: 4, why: "says that it is entry 6", edit: func(logs, _ *bbolt.Bucket) error {
			a, b := bytes.Clone(logs.Get(key(4))), bytes.Clone(logs.Get(key(6)))
			return errors.Join(logs.Put(key(4), b), logs.Put(key(6), a))
		}},
		{name: "an entry gone", why: "entry 6 follows entry 4", edit: func(logs, _ *bbolt.Bucket) error { return logs.Delete(key(5)) }},
		{name: "an entry cut short", index: 7, edit: func(logs, _ *bbolt.Bucket) error {
			v := bytes.Clone(logs.Get(key(7)))
			return logs.Put(key(7), v[:len(v)-9])
		}},
		{name: "an entry emptied", index: 7, edit: func(logs, _ *bbolt.Bucket) error { return logs.Put(key(7), nil) }},
		{name: "a key that is no index", why: "not a log index", edit: func(logs, _ *bbolt.Bucket) error { return logs.Put([]byte("k"), nil) }},
		{name: "the term's bit", key: "CurrentTerm", why: "checksum", edit: func(_, conf *bbolt.Bucket) error { return flip(conf, []byte("CurrentTerm"), -1) }},
		{name: "the vote's bit", key: "LastVoteCand", why: "checksum", edit: func(_, conf *bbolt.Bucket) error { return flip(conf, []byte("LastVoteCand"), -1) }},
		{name: "a value in another's place", key: "CurrentTerm", why: "checksum", edit: func(_, conf *bbolt.Bucket) error {
			return conf.Put([]byte("CurrentTerm"), bytes.Clone(conf.Get([]byte("LastVoteTerm"))))
		}},
		{name: "a bit of the vote's name", key: "LastVoteCane", why: "checksum", edit: func(_, conf *bbolt.Bucket) error {
			v := bytes.Clone(conf.Get([]byte("LastVoteCand")))
			return errors.Join(conf.Delete([]byte("LastVoteCand")), conf.Put([]byte("LastVoteCane"), v))
		}},
		{name: "the term gone", key: "CurrentTerm", why: "of term 3", edit: func(_, conf *bbolt.Bucket) error { return conf.Delete([]byte("CurrentTerm")) }},
		{name: "the term of long ago", key: "CurrentTerm", why: "of term 3", edit: func(_, conf *bbolt.Bucket) error {
			return conf.Put([]byte("CurrentTerm"), sealValue([]byte("CurrentTerm"), key(2)))
		}},
		{name: "an envelope of the future", key: "LastVoteCand", why: "envelope version 9", edit: func(_, conf *bbolt.Bucket) error {
			return conf.Put([]byte("LastVoteCand"), []byte{9, 0, 0, 0, 0, 1})
		}},
		{name: "a value without its envelope", key: "LastVoteCand", why: "too few", edit: func(_, conf *bbolt.Bucket) error {
			return conf.Put([]byte("LastVoteCand"), []byte("s1"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			fill(t, path, 12)
			edit(t, path, tt.edit)
			l, err := OpenLog(path, LogOptions{Log: hclog.NewNullLogger()})
			if err == nil {
				t.Fatal("it was opened", l.Close())
			}
			c, ok := errors.AsType[*CorruptError](err)
			if !ok || c.File != path || c.Index != tt.index || c.Key != tt.key || !strings.Contains(c.Error(), tt.why) {
				t.Errorf("got %v (%#v), want entry %d, key %q, %q", err, c, tt.index, tt.key, tt.why)
			}
		})
	}
}

// TestEntrySumCoversItsPlace: an entry that was moved is found even when its own index was
// made to fit, and so is every other field that Raft relies on.
func TestEntrySumCoversItsPlace(t *testing.T) {
	for name, change := range map[string]func(*raft.Log){
		"index": func(l *raft.Log) { l.Index = 6 }, "term": func(l *raft.Log) { l.Term++ },
		"type": func(l *raft.Log) { l.Type = raft.LogBarrier }, "extensions": func(l *raft.Log) { l.Extensions = []byte{1} },
		"time": func(l *raft.Log) { l.AppendedAt = l.AppendedAt.Add(1) },
	} {
		l := sealEntry(entry(4, 3, "data"))
		change(l)
		if err := openEntry(l.Index, l); err == nil {
			t.Errorf("another %s was not seen", name)
		}
	}
}

// TestCorruptWhileOpen: a fault that appears after the file was verified is found by the read.
func TestCorruptWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	fill(t, path, 12)
	var faults []error
	l, err := OpenLog(path, LogOptions{Log: hclog.NewNullLogger(), OnFault: func(err error) { faults = append(faults, err) }})
	must(t, err)
	defer l.Close() //nolint:errcheck // the test is over
	sealed := sealEntry(entry(4, 3, "another"))
	sealed.Data[len(sealed.Data)-1] ^= 1
	must(t, l.bolt.StoreLog(sealed))
	must(t, l.bolt.Set([]byte("LastVoteTerm"), sealValue([]byte("LastVoteTerm"), []byte("short"))))
	var c *CorruptError
	if err := l.GetLog(4, &raft.Log{}); !errors.As(err, &c) || c.Index != 4 {
		t.Errorf("entry: got %v", err)
	}
	if _, err := l.GetUint64([]byte("LastVoteTerm")); !errors.As(err, &c) || c.Key != "LastVoteTerm" {
		t.Errorf("value: got %v", err)
	}
	if len(faults) != 2 {
		t.Errorf("told of %d faults, want 2: %v", len(faults), faults)
	}
}

// used returns how many bytes of a bolt file hold pages; bolt allocates far beyond.
func used(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	must(t, err)
	m, err := readBoltMeta(f, info.Size())
	must(t, err)
	return int(int64(m.pages) * m.pageSize)
}

func TestTruncatedFileIsFound(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "raft.db")
	want := fill(t, path, 40)
	end := used(t, path)
	whole, err := os.ReadFile(path)
	must(t, err)
	cut := filepath.Join(dir, "cut.db")
	for n := 0; n < end; n += 511 {
		must(t, os.WriteFile(cut, whole[:n], 0o600))
		l, err := OpenLog(cut, LogOptions{Log: hclog.NewNullLogger()})
		if err == nil {
			must(t, l.Close())
			t.Fatalf("a file cut to %d of %d used bytes was opened", n, end)
		}
		if c, ok := errors.AsType[*CorruptError](err); !ok || c.File != cut {
			t.Fatalf("cut to %d: got %v", n, err)
		}
	}
	must(t, os.WriteFile(cut, whole[:end], 0o600)) // only what was never used is gone
	expectRange(t, openTest(t, cut), 1, uint64(len(want)))
}

// TestFlippedBits: whatever single bit changes, the log is either refused or reads exactly as
// it was written; nothing panics, hangs or comes back different.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "raft.db")
	want := fill(t, path, 30)
	end := used(t, path)
	whole, err := os.ReadFile(path)
	must(t, err)
	whole = whole[:end]
	step := 251
	if testing.Short() {
		step = 1009
	}
	refused := 0
	for n := 0; n < end; n += step {
		b := bytes.Clone(whole)
		b[n] ^= 1 << (n / step % 8)
		bad := filepath.Join(dir, fmt.Sprintf("bad%d.db", n))
		must(t, os.WriteFile(bad, b, 0o600))
		if readsAsWritten(t, bad, n, want) {
			must(t, os.Remove(bad))
			continue
		}
		refused++
		must(t, os.Remove(bad))
	}
	t.Logf("%d of %d flips were refused", refused, end/step)
	if refused < end/step/6 {
		t.Errorf("only %d flips of %d were refused", refused, end/step)
	}
}

func readsAsWritten(t *testing.T, path string, flipped int, want []raft.Log) bool {
	t.Helper()
	l, err := OpenLog(path, LogOptions{Log: hclog.NewNullLogger()})
	if err != nil {
		if _, ok := errors.AsType[*CorruptError](err); !ok {
			t.Fatalf("byte %d: not a CorruptError: %v", flipped, err)
		}
		return false
	}
	expectRange(t, l, 1, uint64(len(want)))
	for i := range want {
		var got raft.Log
		must(t, l.GetLog(want[i].Index, &got))
		if d := cmp.Diff(want[i], got); d != "" {
			t.Fatalf("byte %d changed entry %d unseen (-want +got):\n%s", flipped, want[i].Index, d)
		}
	}
	if cand, err := l.Get([]byte("LastVoteCand")); string(cand) != "s1" || err != nil {
		t.Fatalf("byte %d changed the vote unseen: %q, %v", flipped, cand, err)
	}
	must(t, l.Close())
	return true
}

func FuzzWalkBolt(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		f.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("logs"))
		if err != nil {
			return err
		}
		return b.Put([]byte("key"), []byte("value"))
	})
	if err != nil {
		f.Fatal(err)
	}
	if err := db.Close(); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(_ *testing.T, b []byte) {
		// It must end, within the file, without a panic.
		walkBolt(bytes.NewReader(b), int64(len(b)), func(_, _, _ []byte) error { return nil }) //nolint:errcheck // only that it ends
	})
}
