package store

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// dirOf is where a store with a log of that kind is to be, and how it is opened.
func dirOf(t *testing.T, kind Kind) (dir string, o Options) {
	t.Helper()
	return filepath.Join(t.TempDir(), "raft"), Options{LogOptions: options(kind)}
}

func openStore(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func snapshot(t *testing.T, s *Store, index, term uint64) string {
	t.Helper()
	k, err := s.Snapshots.Create(1, index, term, raft.Configuration{Servers: []raft.Server{{ID: "s1", Address: "a:1"}}}, 1, nil)
	must(t, err)
	_, err = k.Write(bytes.Repeat([]byte("state "), int(index)))
	must(t, err)
	must(t, k.Close())
	return k.ID()
}

// appendTo adds the entries up to last, of term 2.
func appendTo(t *testing.T, l *Log, last uint64) {
	t.Helper()
	next, err := l.LastIndex()
	must(t, err)
	for next++; next <= last; next++ {
		must(t, l.StoreLog(entry(next, 2, strings.Repeat("e", int(next)%300))))
	}
}

func snapshotFile(dir, id string) string { return filepath.Join(dir, "snapshots", id+".snap") }

// expectDamaged opens the directory and expects it to be refused, for why.
func expectDamaged(t *testing.T, dir string, o Options, why string) {
	t.Helper()
	s, err := Open(dir, o)
	if err == nil {
		t.Fatal("it was opened", s.Close())
	}
	if !suspect(err) || !strings.Contains(err.Error(), why) {
		t.Errorf("got %v, want %q", err, why)
	}
}

func TestStoreGoesOnWhereItEnded(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			dir, o := dirOf(t, kind)
			s := openStore(t, dir, o)
			if has, err := raft.HasExistingState(s.Log, s.Log, s.Snapshots); has || err != nil {
				t.Errorf("a new store has state: %t, %v", has, err)
			}
			vote(t, s.Log, 2, "s1")
			appendTo(t, s.Log, 50)
			snapshot(t, s, 20, 2)
			second := snapshot(t, s, 40, 2)
			must(t, s.Log.DeleteRange(1, 30))
			for range 2 {
				must(t, s.Close())
				s = openStore(t, dir, o)
				expectRange(t, s.Log, 31, 50)
				metas, err := s.Snapshots.List()
				must(t, err)
				if len(metas) != 1 || metas[0].ID != second {
					t.Errorf("lists %v", metas)
				}
			}
			must(t, s.Close())
		})
	}
}

func TestLogThatBeginsAfterTheSnapshot(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			dir, o := dirOf(t, kind)
			s := openStore(t, dir, o)
			vote(t, s.Log, 2, "s1")
			appendTo(t, s.Log, 50)
			id := snapshot(t, s, 20, 2)
			must(t, s.Log.DeleteRange(1, 21))
			must(t, s.Close())
			expectDamaged(t, dir, o, "the newest snapshot ends with entry 20, the log begins with entry 22")
			must(t, os.Remove(snapshotFile(dir, id)))
			expectDamaged(t, dir, o, "its snapshot is gone")
		})
	}
}

// TestCrashWhileInstalling: Raft installs a snapshot and empties the log after it. A crash
// between the two leaves a log to which nothing could be appended.
func TestCrashWhileInstalling(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			dir, o := dirOf(t, kind)
			for _, tt := range []struct {
				name        string
				last        uint64 // what the log holds before
				index, term uint64 // of the snapshot
				emptied     bool
			}{
				{"the log ends before it", 20, 30, 2, true},
				{"the log ends with it", 30, 30, 2, false},
				{"the log goes on", 40, 30, 2, false},
				{"the log goes on, but is another one", 40, 30, 3, true},
			} {
				dir := filepath.Join(dir, tt.name)
				s := openStore(t, dir, o)
				vote(t, s.Log, 3, "s1")
				appendTo(t, s.Log, tt.last)
				snapshot(t, s, tt.index, tt.term)
				must(t, s.Close())
				s = openStore(t, dir, o)
				if !tt.emptied {
					expectRange(t, s.Log, 1, tt.last)
					must(t, s.Close())
					continue
				}
				expectRange(t, s.Log, 0, 0)
				must(t, s.Log.StoreLog(entry(tt.index+1, 3, "next")))
				must(t, s.Close())
				s = openStore(t, dir, o)
				expectRange(t, s.Log, tt.index+1, tt.index+1)
				must(t, s.Close())
			}
		})
	}
}

func TestDamagedNewestSnapshot(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			dir, o := dirOf(t, kind)
			s := openStore(t, dir, o)
			vote(t, s.Log, 2, "s1")
			appendTo(t, s.Log, 50)
			first := snapshot(t, s, 20, 2)
			second := snapshot(t, s, 40, 2)
			must(t, s.Log.DeleteRange(1, 20))
			must(t, s.Close())
			whole, err := os.ReadFile(snapshotFile(dir, second))
			must(t, err)
			flipped := bytes.Clone(whole)
			flipped[len(flipped)-5] ^= 1
			must(t, os.WriteFile(snapshotFile(dir, second), flipped, 0o600))

			s = openStore(t, dir, o) // the log makes it good
			metas, err := s.Snapshots.List()
			must(t, err)
			if len(metas) != 1 || metas[0].ID != first {
				t.Errorf("lists %v", metas)
			}
			third := snapshot(t, s, 45, 2)
			must(t, s.Log.DeleteRange(1, 40))
			must(t, s.Close())
			must(t, os.WriteFile(snapshotFile(dir, third), flipped, 0o600))
			expectDamaged(t, dir, o, "it is snapshot "+second)
			must(t, os.Remove(snapshotFile(dir, third)))
			expectDamaged(t, dir, o, "its snapshot is gone")
		})
	}
}

// TestSnapshotAloneIsGone: after the installation of a snapshot the log is empty; a store that
// lost that snapshot must not begin with the one before, or from nothing.
func TestSnapshotAloneIsGone(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			dir, o := dirOf(t, kind)
			s := openStore(t, dir, o)
			vote(t, s.Log, 2, "s1")
			appendTo(t, s.Log, 20)
			snapshot(t, s, 20, 2)
			id := snapshot(t, s, 500, 2)
			must(t, s.Log.DeleteRange(1, 20))
			must(t, s.Close())
			must(t, openStore(t, dir, o).Close())
			must(t, os.Remove(snapshotFile(dir, id)))
			expectDamaged(t, dir, o, "entry 500 is corrupt: its snapshot is gone")
			must(t, os.RemoveAll(filepath.Join(dir, "snapshots")))
			expectDamaged(t, dir, o, "entry 500 is corrupt: its snapshot is gone")
		})
	}
}

// TestDamageMetLater ends all writing, whichever part of the store met it.
func TestDamageMetLater(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			dir, o := dirOf(t, kind)
			var faults []error
			o.OnFault = func(err error) { faults = append(faults, err) }
			s := openStore(t, dir, o)
			vote(t, s.Log, 2, "s1")
			appendTo(t, s.Log, 20)
			id := snapshot(t, s, 20, 2)
			f, err := os.OpenFile(snapshotFile(dir, id), os.O_RDWR, 0)
			must(t, err)
			_, err = f.WriteAt([]byte("bad"), 600)
			must(t, err)
			must(t, f.Close())
			_, r, err := s.Snapshots.Open(id)
			must(t, err)
			if _, err := io.Copy(io.Discard, r); !suspect(err) {
				t.Errorf("read it: %v", err)
			}
			must(t, r.Close())
			if err := s.Log.StoreLog(entry(21, 2, "x")); !suspect(err) {
				t.Errorf("the log took an entry: %v", err)
			}
			if len(faults) != 1 {
				t.Errorf("told of %v", faults)
			}
			must(t, s.Close())
		})
	}
}

func TestKindIsKept(t *testing.T) {
	other := map[Kind]Kind{BoltDB: WAL, WAL: BoltDB}
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			dir, o := dirOf(t, kind)
			must(t, openStore(t, dir, o).Close())
			file := filepath.Join(dir, kindFile)
			recorded, err := os.ReadFile(file)
			must(t, err)
			wrong := o
			wrong.Kind = other[o.Kind]
			for range 2 { // as it was recorded, and without the record
				_, err := Open(dir, wrong)
				if e, ok := api.AsError(err); !ok || e.Kind != api.Conflict || !strings.Contains(e.Hint, string(o.Kind)) {
					t.Errorf("as %s: got %v", wrong.Kind, err)
				}
				must(t, os.RemoveAll(file))
			}
			var was storage
			must(t, json.Unmarshal(recorded, &was))
			same := o
			same.ID = was.ID
			must(t, openStore(t, dir, same).Close())
			if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, recorded) {
				t.Errorf("recorded %s, %v", again, err)
			}
			wrong.Kind = "sqlite"
			if _, err := Open(dir, wrong); api.KindOf(err) != api.InvalidArgument {
				t.Errorf("as sqlite: got %v", err)
			}
			must(t, os.WriteFile(file, []byte(`{"version":2,"log":"`+string(o.Kind)+`"}`), 0o600))
			if _, err := Open(dir, o); api.KindOf(err) != api.Conflict {
				t.Errorf("recorded by a newer grafOS: got %v", err)
			}
			for _, broken := range []string{"", "{", `{"version":1,"log":"boldtb"}`} {
				must(t, os.WriteFile(file, []byte(broken), 0o600))
				expectDamaged(t, dir, o, kindFile)
			}
		})
	}
}

// TestStoreOfTheFirstRelease: raft.db and Raft's own snapshots, and nothing else.
func TestStoreOfTheFirstRelease(t *testing.T) {
	dir, o := t.TempDir(), Options{LogOptions: options(BoltDB)}
	fill(t, logPath(dir, BoltDB), o.LogOptions, 30)
	old, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, o.Log)
	must(t, err)
	_, trans := raft.NewInmemTransport("")
	k, err := old.Create(1, 25, 3, raft.Configuration{}, 1, trans)
	must(t, err)
	_, err = k.Write([]byte("state"))
	must(t, err)
	must(t, k.Close())
	s := openStore(t, dir, o)
	expectRange(t, s.Log, 1, 30)
	metas, err := s.Snapshots.List()
	must(t, err)
	if len(metas) != 1 || metas[0].ID != k.ID() {
		t.Errorf("lists %v", metas)
	}
	must(t, s.Close())
}

// TestDirectoryIsOfItsID: whoever had a directory is not given an empty one, or another, in its
// place: the votes and the log that it acknowledged are in the old one.
func TestDirectoryIsOfItsID(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			begun := func() (string, Options) {
				dir, o := dirOf(t, kind)
				s := openStore(t, dir, o)
				o.ID = s.ID
				must(t, s.Log.SetUint64([]byte("CurrentTerm"), 1))
				must(t, s.Log.StoreLogs([]*raft.Log{{Index: 1, Term: 1, Data: []byte("a")}}))
				must(t, s.Close())
				return dir, o
			}
			dir, o := begun()
			must(t, openStore(t, dir, o).Close())
			must(t, os.Remove(filepath.Join(dir, kindFile)))
			if s := openStore(t, dir, o); s.ID != o.ID {
				t.Errorf("it has a log, and is directory %s", s.ID)
			} else {
				must(t, s.Close())
			}
			other, _ := begun()
			expectDamaged(t, other, o, filepath.Base(other))
			for _, keep := range []string{kindFile, "snapshots", "nothing"} {
				dir, o := begun()
				entries, err := os.ReadDir(dir)
				must(t, err)
				for _, e := range entries {
					if e.Name() != keep {
						must(t, os.RemoveAll(filepath.Join(dir, e.Name())))
					}
				}
				expectDamaged(t, dir, o, filepath.Base(dir))
			}
			dir, o = begun()
			must(t, os.RemoveAll(dir))
			expectDamaged(t, dir, o, filepath.Base(dir))
		})
	}
}
