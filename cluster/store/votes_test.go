package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// copyTree copies the file or directory from to to, which it replaces. Of a bolt file it
// copies what holds pages: bolt allocates far beyond.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.RemoveAll(to))
	must(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dest := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(dest, 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Ext(path) == ".db" {
			b = b[:used(t, path)]
		}
		return os.WriteFile(dest, b, 0o600)
	}))
}

// expectCorrupt opens the log and expects file to be blamed for why.
func expectCorrupt(t *testing.T, path string, o LogOptions, file, why string) {
	t.Helper()
	l, err := OpenLog(path, o)
	if err == nil {
		t.Fatal("it was opened", l.Close())
	}
	c, ok := errors.AsType[*CorruptError](err)
	if !ok || c.File != file || !strings.Contains(c.Error(), why) {
		t.Errorf("got %v, want %s to be blamed for %q", err, file, why)
	}
}

func expectVote(t *testing.T, l *Log, term uint64, cand string) {
	t.Helper()
	gotTerm, err := l.GetUint64([]byte("LastVoteTerm"))
	must(t, err)
	gotCand, err := l.Get([]byte("LastVoteCand"))
	must(t, err)
	if gotTerm != term || string(gotCand) != cand {
		t.Errorf("vote is for %s in term %d, want %s in %d", gotCand, gotTerm, cand, term)
	}
}

func vote(t *testing.T, l *Log, term uint64, cand string) {
	t.Helper()
	must(t, l.SetUint64([]byte("CurrentTerm"), term))
	must(t, l.SetUint64([]byte("LastVoteTerm"), term))
	must(t, l.Set([]byte("LastVoteCand"), []byte(cand)))
}

// TestOlderCopyOfTheLogIsRefused: a log that was replaced by an older copy of itself has
// forgotten a vote, or entries, and says so, however little it is behind.
func TestOlderCopyOfTheLogIsRefused(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			fill(t, path, o, 5)
			older := map[string]string{} // where the copy is, and what was done after it
			for i, change := range []struct {
				name string
				do   func(l *Log) error
				why  string
			}{
				{"one value", func(l *Log) error { return l.SetUint64([]byte("CurrentTerm"), 4) }, "older copy of itself"},
				{"a vote", func(l *Log) error {
					return errors.Join(l.SetUint64([]byte("LastVoteTerm"), 4), l.Set([]byte("LastVoteCand"), []byte("s2")))
				}, "older copy of itself"},
				{"an entry", func(l *Log) error { return l.StoreLog(entry(6, 4, "x")) }, "acknowledged and is gone"},
				{"another entry in its place", func(l *Log) error {
					return errors.Join(l.DeleteRange(6, 6), l.StoreLog(entry(6, 4, "y")))
				}, "another entry than the one that was acknowledged"},
			} {
				saved := filepath.Join(t.TempDir(), filepath.Base(path))
				copyTree(t, path, saved)
				l, err := OpenLog(path, o)
				must(t, err)
				must(t, change.do(l))
				must(t, l.Close())
				now := filepath.Join(t.TempDir(), filepath.Base(path))
				copyTree(t, path, now)

				copyTree(t, saved, path)
				l, err = OpenLog(path, o)
				if err == nil {
					t.Fatalf("%d: the log of before %s was opened: %v", i, change.name, l.Close())
				}
				if _, ok := errors.AsType[*CorruptError](err); !ok || !strings.Contains(err.Error(), change.why) {
					t.Errorf("the log of before %s: got %v, want %q", change.name, err, change.why)
				}
				copyTree(t, now, path)
				older[saved] = change.name
			}
			openTest(t, path, o)
			for saved, name := range older { // and all of it at once
				if c, err := OpenLog(saved, o); err == nil {
					t.Errorf("a copy without what lies beside it (%s) was opened: %v", name, c.Close())
				}
			}
		})
	}
}

// TestCrashBetweenTheTwoCopies: the log is written first, so it may be one write ahead, and
// that write counts.
func TestCrashBetweenTheTwoCopies(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			fill(t, path, o, 3)
			before, err := os.ReadFile(path + votesSuffix)
			must(t, err)
			for i, torn := range []int{0, 1, slotLen / 2, slotLen} { // bytes of the slot that reached the disk
				l, err := OpenLog(path, o)
				must(t, err)
				must(t, l.SetUint64([]byte("LastVoteTerm"), uint64(10+i)))
				generation := l.values.generation
				must(t, l.Close())
				after, err := os.ReadFile(path + votesSuffix)
				must(t, err)
				half := bytes.Clone(before)
				at := int(generation%2) * slotLen
				copy(half[at:at+torn], after[at:at+torn])
				must(t, os.WriteFile(path+votesSuffix, half, 0o600))

				l, err = OpenLog(path, o)
				must(t, err)
				expectVote(t, l, uint64(10+i), "s1")
				must(t, l.Close())
				mended, err := os.ReadFile(path + votesSuffix)
				must(t, err)
				if !bytes.Equal(mended, after) {
					t.Errorf("%d bytes written: the second copy was not brought up to the log", torn)
				}
				before = after
			}
		})
	}
}

func TestSecondCopyIsVerified(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			fill(t, path, o, 3)
			votes := path + votesSuffix
			whole, err := os.ReadFile(votes)
			must(t, err)
			for at := 0; at < len(whole); at += 97 {
				b := bytes.Clone(whole)
				b[at] ^= 1 << (at % 8)
				must(t, os.WriteFile(votes, b, 0o600))
				if at >= slotLen {
					expectCorrupt(t, path, o, votes, "half of it is damaged")
					continue
				}
				// The newest slot, as a crash in the middle of its writing leaves it: the log has it whole.
				l, err := OpenLog(path, o)
				must(t, err)
				expectVote(t, l, 3, "s1")
				must(t, l.Close())
				if mended, err := os.ReadFile(votes); err != nil || !bytes.Equal(mended, whole) {
					t.Fatalf("byte %d: not mended: %v", at, err)
				}
			}
			for name, b := range map[string][]byte{
				"empty": {}, "cut": whole[:slotLen], "zeros": make([]byte, len(whole)), "longer": append(bytes.Clone(whole), 0),
				"turned round": append(bytes.Clone(whole[slotLen:]), whole[:slotLen]...),
			} {
				must(t, os.WriteFile(votes, b, 0o600))
				l, err := OpenLog(path, o)
				if err == nil {
					t.Errorf("%s: it was opened: %v", name, l.Close())
				}
			}
			must(t, os.Remove(votes))
			expectCorrupt(t, path, o, votes, "it is gone")
			must(t, os.WriteFile(votes, whole, 0o600))
			openTest(t, path, o)
		})
	}
}

func TestSecondCopyOfAnotherLog(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			fill(t, path, o, 3)
			other := filepath.Join(t.TempDir(), filepath.Base(path))
			l, err := OpenLog(other, o)
			must(t, err)
			vote(t, l, 3, "s2")
			must(t, l.Close())
			copyTree(t, other+votesSuffix, path+votesSuffix)
			expectCorrupt(t, path, o, path+votesSuffix, "are not those of the log")
		})
	}
}

func TestStoringTheSameCostsNothing(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			l := openTest(t, path, o)
			vote(t, l, 3, "s1")
			before := l.values.generation
			vote(t, l, 3, "s1")
			if got := l.values.generation; got != before {
				t.Errorf("generation went from %d to %d for nothing", before, got)
			}
			vote(t, l, 4, "s1")
			if got := l.values.generation; got != before+2 {
				t.Errorf("generation went from %d to %d for two values", before, got)
			}
		})
	}
}

func TestValuesThatDoNotFit(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			l := openTest(t, path, o)
			vote(t, l, 3, "s1")
			if err := l.Set([]byte("LastVoteCand"), make([]byte, slotLen)); err == nil {
				t.Error("a value that the second copy cannot hold was taken")
			}
			expectVote(t, l, 3, "s1")
			vote(t, l, 4, "s2")
			expectVote(t, l, 4, "s2")
		})
	}
}

// TestLogOfTheFirstRelease: entries without links, values without generations, nothing beside
// the log. It is read, protected from then on, and continued.
func TestLogOfTheFirstRelease(t *testing.T) {
	path, o := filepath.Join(t.TempDir(), "raft.db"), options(BoltDB)
	bolt, err := boltOpen(path, false)
	must(t, err)
	var want []*raft.Log
	for i := range uint64(5) {
		want = append(want, entry(i+1, 3, strings.Repeat("x", int(i))))
		must(t, bolt.StoreLog(sealV1(want[i])))
	}
	for key, value := range map[string][]byte{"CurrentTerm": key(3), "LastVoteTerm": key(3), "LastVoteCand": []byte("s1")} {
		sealed := binary.BigEndian.AppendUint32([]byte{envelopeV1}, valueSum([]byte(key), nil, value))
		must(t, bolt.Set([]byte(key), append(sealed, value...)))
	}
	must(t, bolt.Close())

	l, err := OpenLog(path, o)
	must(t, err)
	expectVote(t, l, 3, "s1")
	must(t, l.StoreLog(entry(6, 3, "of this release")))
	must(t, l.Close())
	for _, suffix := range []string{votesSuffix, markSuffix} {
		beside, err := os.ReadFile(path + suffix)
		must(t, err)
		must(t, os.Remove(path+suffix))
		expectCorrupt(t, path, o, path+suffix, "it is gone")
		must(t, os.WriteFile(path+suffix, beside, 0o600))
	}
	edit(t, path, func(logs, _ *bbolt.Bucket) error { return logs.Delete(key(6)) })
	expectCorrupt(t, path, o, path, "acknowledged and is gone")
	bolt, err = boltOpen(path, false)
	must(t, err)
	sealed, _ := sealEntry(entry(6, 3, "of this release"), 0)
	must(t, bolt.StoreLog(sealed))
	must(t, bolt.Close())
	expectCorrupt(t, path, o, path, "follows an entry")
}

func TestLogThatIsGone(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			fill(t, path, o, 3)
			must(t, os.RemoveAll(path))
			expectCorrupt(t, path, o, path, "it is gone")
		})
	}
}

// TestCrashWhileBeginning: what a first start had made when it was killed is a new log still.
func TestCrashWhileBeginning(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			l, err := OpenLog(path, o)
			must(t, err)
			must(t, l.Close())
			for _, suffix := range []string{markSuffix, votesSuffix} { // made last, and last but one
				must(t, os.Remove(path+suffix))
				l, err = OpenLog(path, o)
				must(t, err)
				must(t, l.Close())
				must(t, os.Remove(path+markSuffix))
			}
			l = openTest(t, path, o)
			vote(t, l, 1, "s1")
			must(t, l.StoreLog(entry(1, 1, "x")))
		})
	}
}

// TestLogIsLongerThanTheMark: the mark is not synced with every entry, so what is beyond it
// after a power cut is taken; what a cut end left is not missed.
func TestLogIsLongerThanTheMark(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			fill(t, path, o, 9)
			old, err := os.ReadFile(path + markSuffix)
			must(t, err)
			l, err := OpenLog(path, o)
			must(t, err)
			for i := uint64(10); i < 30; i++ {
				must(t, l.StoreLog(entry(i, 3, "x")))
			}
			must(t, l.Close())
			must(t, os.WriteFile(path+markSuffix, old, 0o600))
			l, err = OpenLog(path, o)
			must(t, err)
			expectRange(t, l, 1, 29)
			must(t, l.DeleteRange(20, 29))
			must(t, l.DeleteRange(1, 15))
			must(t, l.Close())
			l, err = OpenLog(path, o)
			must(t, err)
			expectRange(t, l, 16, 19)
			must(t, l.DeleteRange(1, 19))
			must(t, l.Close())
			l = openTest(t, path, o)
			expectRange(t, l, 0, 0)
			must(t, l.StoreLog(entry(500, 3, "after a snapshot")))
		})
	}
}

func TestMarkIsVerified(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			path, o := logOf(t, kind)
			fill(t, path, o, 3)
			whole, err := os.ReadFile(path + markSuffix)
			must(t, err)
			for at := 0; at < len(whole); at += 29 {
				b := bytes.Clone(whole)
				b[at] ^= 1 << (at % 8)
				must(t, os.WriteFile(path+markSuffix, b, 0o600))
				expectCorrupt(t, path, o, path+markSuffix, "checksum")
			}
		})
	}
}
