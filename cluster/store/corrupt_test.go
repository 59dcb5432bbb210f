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
	"time"

	"github.com/google/go-cmp/cmp"
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
	put := func(b *bbolt.Bucket, key string, generation uint64, value []byte) error {
		return b.Put([]byte(key), sealValue([]byte(key), generation, value))
	}
	tests := []struct {
		name  string
		edit  func(logs, conf *bbolt.Bucket) error
		at    uint64 // or the entry here is replaced by another
		by    func(l *raft.Log, prev uint32) *raft.Log
		file  string // what stands beside the log, where that is blamed
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
		{name: "an entry of another history", index: 5, why: "follows an entry", at: 4, by: ofTermBefore},
		{name: "the newest entry of another history", index: 12, why: "another entry than the one that was acknowledged", at: 12, by: ofTermBefore},
		{name: "an entry that links to nothing", index: 5, why: "it follows nothing", at: 5, by: func(l *raft.Log, _ uint32) *raft.Log { return sealV1(l) }},
		{name: "the newest entry gone", index: 12, why: "acknowledged and is gone", edit: func(logs, _ *bbolt.Bucket) error { return logs.Delete(key(12)) }},
		{name: "an entry gone", why: "entry 6 follows entry 4", edit: func(logs, _ *bbolt.Bucket) error { return logs.Delete(key(5)) }},
		{name: "an entry cut short", index: 7, edit: func(logs, _ *bbolt.Bucket) error {
			v := bytes.Clone(logs.Get(key(7)))
			return logs.Put(key(7), v[:len(v)-9])
		}},
		{name: "an entry emptied", index: 7, edit: func(logs, _ *bbolt.Bucket) error { return logs.Put(key(7), nil) }},
		{name: "a key that is no index", why: "not a log index", edit: func(logs, _ *bbolt.Bucket) error { return logs.Put([]byte("k"), nil) }},
		{name: "the term's bit", key: "CurrentTerm", why: "checksum", edit: func(_, conf *bbolt.Bucket) error { return flip(conf, []byte("CurrentTerm"), -1) }},
		{name: "the vote's bit", key: "LastVoteCand", why: "checksum", edit: func(_, conf *bbolt.Bucket) error { return flip(conf, []byte("LastVoteCand"), -1) }},
		{name: "a bit of a generation", key: "LastVoteCand", why: "checksum", edit: func(_, conf *bbolt.Bucket) error { return flip(conf, []byte("LastVoteCand"), 12) }},
		{name: "a value in another's place", key: "CurrentTerm", why: "checksum", edit: func(_, conf *bbolt.Bucket) error {
			return conf.Put([]byte("CurrentTerm"), bytes.Clone(conf.Get([]byte("LastVoteTerm"))))
		}},
		{name: "a bit of the vote's name", key: "LastVoteCane", why: "checksum", edit: func(_, conf *bbolt.Bucket) error {
			v := bytes.Clone(conf.Get([]byte("LastVoteCand")))
			return errors.Join(conf.Delete([]byte("LastVoteCand")), conf.Put([]byte("LastVoteCane"), v))
		}},
		{name: "the term gone", key: "CurrentTerm", why: "of term 3", edit: func(_, conf *bbolt.Bucket) error { return conf.Delete([]byte("CurrentTerm")) }},
		{name: "the term of long ago", key: "CurrentTerm", why: "of term 3", edit: func(_, conf *bbolt.Bucket) error {
			return put(conf, "CurrentTerm", 2, key(2))
		}},
		{name: "another term", file: votesSuffix, why: "are not those of the log", edit: func(_, conf *bbolt.Bucket) error {
			return put(conf, "CurrentTerm", 2, key(4))
		}},
		{name: "the vote gone", why: "an older copy of itself", edit: func(_, conf *bbolt.Bucket) error { return conf.Delete([]byte("LastVoteCand")) }},
		{name: "two votes more", file: votesSuffix, why: "of generation 4, the log has 6", edit: func(_, conf *bbolt.Bucket) error {
			return put(conf, "LastVoteTerm", 6, key(4))
		}},
		{name: "a vote more, and another changed", file: votesSuffix, why: "not those that the log had before", edit: func(_, conf *bbolt.Bucket) error {
			return errors.Join(put(conf, "LastVoteTerm", 5, key(4)), put(conf, "CurrentTerm", 2, key(5)))
		}},
		{name: "an envelope of the future", key: "LastVoteCand", why: "envelope version 9", edit: func(_, conf *bbolt.Bucket) error {
			return conf.Put([]byte("LastVoteCand"), []byte{9, 0, 0, 0, 0, 1})
		}},
		{name: "a value without its envelope", key: "LastVoteCand", why: "envelope version 115", edit: func(_, conf *bbolt.Bucket) error {
			return conf.Put([]byte("LastVoteCand"), []byte("s1"))
		}},
		{name: "a value of two bytes", key: "LastVoteCand", why: "too few", edit: func(_, conf *bbolt.Bucket) error {
			return conf.Put([]byte("LastVoteCand"), []byte{envelopeV2, 1})
		}},
		{name: "a bucket that is not the log's", why: "not the log's", edit: func(logs, _ *bbolt.Bucket) error {
			_, err := logs.Tx().CreateBucket([]byte("more"))
			return errors.Join(err, logs.Tx().Bucket([]byte("more")).Put([]byte("k"), []byte("v")))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			fill(t, path, options(BoltDB), 12)
			if tt.edit != nil {
				edit(t, path, tt.edit)
			} else {
				replace(t, path, tt.at, tt.by)
			}
			l, err := OpenLog(path, options(BoltDB))
			if err == nil {
				t.Fatal("it was opened", l.Close())
			}
			c, ok := errors.AsType[*CorruptError](err)
			if !ok || c.File != path+tt.file || c.Index != tt.index || c.Key != tt.key || !strings.Contains(c.Error(), tt.why) {
				t.Errorf("got %v (%#v), want entry %d, key %q, %q", err, c, tt.index, tt.key, tt.why)
			}
		})
	}
}

// replace puts another entry, sealed by f, in the place of the one at index.
func replace(t *testing.T, path string, index uint64, f func(l *raft.Log, prev uint32) *raft.Log) {
	t.Helper()
	bolt, err := boltOpen(path, false)
	must(t, err)
	var l raft.Log
	must(t, bolt.GetLog(index, &l))
	at, err := openEntry(index, &l)
	must(t, err)
	must(t, bolt.StoreLog(f(&l, at.prev)))
	must(t, bolt.Close())
}

func ofTermBefore(l *raft.Log, prev uint32) *raft.Log {
	l.Term--
	sealed, _ := sealEntry(l, prev)
	return sealed
}

// sealV1 is sealEntry as the first release had it.
func sealV1(l *raft.Log) *raft.Log {
	sealed := *l
	sealed.Data = binary.BigEndian.AppendUint32([]byte{envelopeV1}, entrySum(l, nil, l.Data))
	sealed.Data = append(sealed.Data, l.Data...)
	return &sealed
}

// TestEntrySumCoversItsPlace: an entry that was moved is found even when its own index was
// made to fit, and so is every other field that Raft relies on.
func TestEntrySumCoversItsPlace(t *testing.T) {
	for name, change := range map[string]func(*raft.Log){
		"index": func(l *raft.Log) { l.Index = 6 }, "term": func(l *raft.Log) { l.Term++ },
		"type": func(l *raft.Log) { l.Type = raft.LogBarrier }, "extensions": func(l *raft.Log) { l.Extensions = []byte{1} },
		"time": func(l *raft.Log) { l.AppendedAt = l.AppendedAt.Add(1) }, "link": func(l *raft.Log) { l.Data[envelopeV1Len+3]++ },
		"century": func(l *raft.Log) {
			l.AppendedAt = time.Unix(l.AppendedAt.Unix()^1<<56, int64(l.AppendedAt.Nanosecond()))
		},
	} {
		l, _ := sealEntry(entry(4, 3, "data"), 77)
		change(l)
		if _, err := openEntry(l.Index, l); err == nil {
			t.Errorf("another %s was not seen", name)
		}
	}
}

// TestCorruptWhileOpen: a fault that appears after the log was verified is found by the read,
// told once, and nothing is written after it.
func TestCorruptWhileOpen(t *testing.T) {
	another, _ := sealEntry(entry(4, 3, "another"), 0)
	flipped, _ := sealEntry(entry(4, 3, "another"), 0)
	flipped.Data[len(flipped.Data)-1] ^= 1
	for name, damage := range map[string]struct {
		write func(l *Log) error
		read  func(l *Log) error
	}{
		"a bit": {func(l *Log) error { return l.engine.StoreLog(flipped) }, func(l *Log) error { return l.GetLog(4, &raft.Log{}) }},
		"a whole entry, but another": {
			func(l *Log) error { return l.engine.StoreLog(another) }, func(l *Log) error { return l.GetLog(4, &raft.Log{}) },
		},
		"an entry that vanished": {func(l *Log) error { return l.engine.DeleteRange(4, 4) }, func(l *Log) error { return l.GetLog(4, &raft.Log{}) }},
		"a vote that is another": {
			func(l *Log) error {
				return l.engine.Set([]byte("LastVoteCand"), sealValue([]byte("LastVoteCand"), 4, []byte("s2")))
			},
			func(l *Log) error { _, err := l.Get([]byte("LastVoteCand")); return err },
		},
		"a vote without its envelope": {
			func(l *Log) error { return l.engine.Set([]byte("LastVoteCand"), []byte("s2")) },
			func(l *Log) error { _, err := l.Get([]byte("LastVoteCand")); return err },
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			fill(t, path, options(BoltDB), 12)
			var faults []error
			o := options(BoltDB)
			o.OnFault = func(err error) { faults = append(faults, err) }
			l := openTest(t, path, o)
			must(t, damage.write(l))
			for range 2 {
				if _, ok := errors.AsType[*CorruptError](damage.read(l)); !ok {
					t.Error("it was read")
				}
			}
			if len(faults) != 1 {
				t.Errorf("told of %d faults, want 1: %v", len(faults), faults)
			}
			if err := l.SetUint64([]byte("LastVoteTerm"), 4); err == nil {
				t.Error("a damaged log took a vote")
			}
			if err := l.StoreLog(entry(13, 3, "x")); err == nil {
				t.Error("a damaged log took an entry")
			}
		})
	}
}

func TestNumbersHaveEightBytes(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			l := openTest(t, path, o)
			must(t, l.Set([]byte("CurrentTerm"), []byte("short")))
			if _, err := l.GetUint64([]byte("CurrentTerm")); err == nil {
				t.Error("five bytes were read as a number")
			}
		})
	}
}

// besides copies what lies beside the log at from, so that to is opened as that log.
func besides(t *testing.T, from, to string) {
	t.Helper()
	for _, suffix := range []string{votesSuffix, markSuffix} {
		b, err := os.ReadFile(from + suffix)
		must(t, err)
		must(t, os.WriteFile(to+suffix, b, 0o600))
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
	dir := scratch(t)
	path := filepath.Join(dir, "raft.db")
	want := fill(t, path, options(BoltDB), 40)
	end := used(t, path)
	whole, err := os.ReadFile(path)
	must(t, err)
	cut := filepath.Join(dir, "cut.db")
	besides(t, path, cut)
	for n := 0; n < end; n += 511 {
		must(t, os.WriteFile(cut, whole[:n], 0o600))
		l, err := OpenLog(cut, options(BoltDB))
		if err == nil {
			must(t, l.Close())
			t.Fatalf("a file cut to %d of %d used bytes was opened", n, end)
		}
		if c, ok := errors.AsType[*CorruptError](err); !ok || c.File != cut {
			t.Fatalf("cut to %d: got %v", n, err)
		}
	}
	must(t, os.WriteFile(cut, whole[:end], 0o600)) // only what was never used is gone
	expectRange(t, openTest(t, cut, options(BoltDB)), 1, uint64(len(want)))
}

// TestFlippedBits: whatever single bit changes, the log is either refused or reads exactly as
// it was written; nothing panics, hangs or comes back different.
func TestFlippedBits(t *testing.T) {
	dir := scratch(t)
	path := filepath.Join(dir, "raft.db")
	want := fill(t, path, options(BoltDB), 30)
	end := used(t, path)
	whole, err := os.ReadFile(path)
	must(t, err)
	whole = whole[:end]
	step := 1009
	if testing.Short() {
		step = 4001
	}
	refused := 0
	for n := 0; n < end; n += step {
		b := bytes.Clone(whole)
		b[n] ^= 1 << (n / step % 8)
		bad := filepath.Join(dir, fmt.Sprintf("bad%d.db", n))
		must(t, os.WriteFile(bad, b, 0o600))
		besides(t, path, bad)
		if !readsAsWritten(t, bad, n, want) {
			refused++
		}
		must(t, os.Remove(bad))
	}
	t.Logf("%d of %d flips were refused", refused, end/step)
	if refused < end/step/6 {
		t.Errorf("only %d flips of %d were refused", refused, end/step)
	}
}

func readsAsWritten(t *testing.T, path string, flipped int, want []raft.Log) bool {
	t.Helper()
	l, err := OpenLog(path, options(BoltDB))
	if err != nil {
		if _, ok := errors.AsType[*CorruptError](err); !ok {
			t.Fatalf("byte %d: not a CorruptError: %v", flipped, err)
		}
		return false
	}
	expectEntries(t, l, want)
	if cand, err := l.Get([]byte("LastVoteCand")); string(cand) != "s1" || err != nil {
		t.Fatalf("byte %d changed the vote unseen: %q, %v", flipped, cand, err)
	}
	must(t, l.Close())
	return true
}

// expectEntries reads the whole log and compares it with what was written.
func expectEntries(t *testing.T, l *Log, want []raft.Log) {
	t.Helper()
	expectRange(t, l, want[0].Index, want[len(want)-1].Index)
	for i := range want {
		var got raft.Log
		must(t, l.GetLog(want[i].Index, &got))
		if d := cmp.Diff(want[i], got); d != "" {
			t.Fatalf("entry %d changed unseen (-want +got):\n%s", want[i].Index, d)
		}
	}
}
