package snap

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/cluster/store/disk"
)

// Options are the options of a store.
type Options struct {
	// Retain is how many of the newest snapshots are kept; 0 is 2.
	Retain int
	// Floor is the index of the newest snapshot that is known to have been whole here.
	Floor uint64
	// Replay reports whether the log holds the entries from to to, both included; nil holds none.
	Replay func(from, to uint64) bool
	// Settled is told of a snapshot, by index and term, once it is the one to start from: when
	// it is durable, and when the store opens on an older one. Nil is nobody.
	Settled func(index, term uint64) error
	// Fault takes damage met while reading and what the disk refused; no snapshot is begun
	// after that. Nil is one of its own.
	Fault *disk.Fault
	Log   hclog.Logger
	// Now is the clock of the names; nil is time.Now.
	Now func() time.Time
}

// Store keeps snapshots in one directory. It implements raft.SnapshotStore.
type Store struct {
	dir string // dir/snapshots of Open
	old *raft.FileSnapshotStore
	o   Options

	mu   sync.Mutex
	held []held // guarded by mu: newest first; the first is verified, or was written here
}

// held is one snapshot as its name says it.
type held struct {
	id          string
	index, term uint64
	name        string // of the file, or of the directory of the first release
	old         bool
}

// Open opens the snapshots in dir/snapshots and verifies the newest. It removes what a crash
// left of writing one. Damage that the log cannot make good is a *disk.CorruptError.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{dir: filepath.Join(dir, "snapshots"), o: o}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, disk.Explain("make", s.dir, err)
	}
	if err := s.list(); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(s.held, func(h held) bool { return h.old }) {
		old, err := raft.NewFileSnapshotStoreWithLogger(dir, 1, o.Log)
		if err != nil {
			return nil, fmt.Errorf("open snapshots of the last release: %w", err)
		}
		s.old = old
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Retain <= 0 {
		o.Retain = 2
	}
	if o.Replay == nil {
		o.Replay = func(uint64, uint64) bool { return false }
	}
	if o.Settled == nil {
		o.Settled = func(uint64, uint64) error { return nil }
	}
	if o.Fault == nil {
		o.Fault = disk.NewFault(nil)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// list fills held from the directory and removes leftovers.
func (s *Store) list() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == tmpSuffix {
			s.o.Log.Info("a snapshot was not finished: removed", "path", filepath.Join(s.dir, e.Name()))
			if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
				return disk.Explain("remove", filepath.Join(s.dir, e.Name()), err)
			}
			continue
		}
		if h, ok := parseName(e.Name(), e.IsDir()); ok {
			s.held = append(s.held, h)
		}
	}
	slices.SortFunc(s.held, newestFirst)
	return nil
}

// newestFirst is the order in which Raft's own store lists snapshots.
func newestFirst(a, b held) int {
	return cmp.Or(cmp.Compare(b.term, a.term), cmp.Compare(b.index, a.index), cmp.Compare(b.id, a.id))
}

// settle makes the newest snapshot that can be trusted the first of held, or says why there
// is none to start from.
func (s *Store) settle() error {
	need, damage := s.o.Floor, error(nil)
	bad := 0
	for ; bad < len(s.held); bad++ {
		h := s.held[bad]
		if damage == nil && h.index < s.o.Floor {
			damage = s.gone()
		}
		if damage != nil && !s.o.Replay(h.index+1, need) {
			return damage
		}
		need = max(need, h.index)
		err := s.verify(h)
		if err == nil {
			break
		}
		if _, corrupt := errors.AsType[*disk.CorruptError](err); !corrupt {
			return err
		}
		if damage == nil {
			damage = err
		}
	}
	if damage == nil && len(s.held) == 0 && s.o.Floor > 0 {
		damage = s.gone()
	}
	if damage == nil {
		return nil
	}
	if bad == len(s.held) && !s.o.Replay(1, need) {
		return damage
	}
	return s.dropDamaged(bad, damage)
}

func (s *Store) gone() error {
	return &disk.CorruptError{File: s.dir, Index: s.o.Floor, Why: "its snapshot is gone"}
}

// dropDamaged goes on without the first n of held: the log makes good what they held.
func (s *Store) dropDamaged(n int, damage error) error {
	s.o.Log.Error("the newest snapshot is damaged: the one before it and the log make it good", "error", damage)
	for _, h := range s.held[:n] {
		if err := setAside(s.dir, h.name); err != nil {
			return err
		}
	}
	s.held = s.held[n:]
	var index, term uint64
	if len(s.held) > 0 {
		index, term = s.held[0].index, s.held[0].term
	}
	return s.o.Settled(index, term)
}

// setAside renames a damaged snapshot; the one that was set aside before goes.
func setAside(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list damaged snapshots: %w", err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != damagedSuffix {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return disk.Explain("remove", filepath.Join(dir, e.Name()), err)
		}
	}
	path := filepath.Join(dir, name)
	if err := os.Rename(path, path+damagedSuffix); err != nil {
		return disk.Explain("set aside", path, err)
	}
	return disk.SyncDir(dir)
}

// verify reads one snapshot to its end.
func (s *Store) verify(h held) error {
	_, r, err := s.open(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// List returns the snapshot to start from, alone: Raft would fall back to an older one
// without asking whether the log reaches back to it.
func (s *Store) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	newest := slices.Clone(s.held[:min(1, len(s.held))])
	s.mu.Unlock()
	var metas []*raft.SnapshotMeta
	for _, h := range newest {
		m, err := s.meta(h)
		if err != nil {
			return nil, s.tell(err)
		}
		metas = append(metas, m)
	}
	return metas, nil
}

// Open returns a snapshot that is held, and a reader that refuses the last of a damaged one.
func (s *Store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	h, ok := s.find(id)
	if !ok {
		return nil, nil, fmt.Errorf("snapshot %s is not held in %s", id, s.dir)
	}
	m, r, err := s.open(h)
	if err != nil {
		return nil, nil, s.tell(err)
	}
	return m, &telling{r, s}, nil
}

// Export writes the snapshot id to w as an archive. When it returns an error, what was
// written does not verify.
func (s *Store) Export(id string, w io.Writer) (Info, error) {
	h, ok := s.find(id)
	if !ok {
		return Info{}, fmt.Errorf("snapshot %s is not held in %s", id, s.dir)
	}
	info, r, err := s.openInfo(h)
	if err != nil {
		return Info{}, s.tell(err)
	}
	defer r.Close() //nolint:errcheck // it was only read
	room, err := info.room()
	if err != nil {
		return Info{}, err
	}
	head, err := info.head(room)
	if err != nil {
		return Info{}, err
	}
	if _, err := w.Write(head); err != nil {
		return Info{}, fmt.Errorf("export snapshot %s: %w", id, err)
	}
	if _, err := io.Copy(w, r); err != nil {
		return Info{}, fmt.Errorf("export snapshot %s: %w", id, s.tell(err))
	}
	return info, nil
}

func (s *Store) find(id string) (held, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.held, func(h held) bool { return h.id == id })
	if i < 0 {
		return held{}, false
	}
	return s.held[i], true
}

func (s *Store) meta(h held) (*raft.SnapshotMeta, error) {
	if h.old {
		return readOldMeta(filepath.Join(s.dir, h.name), h)
	}
	info, err := Inspect(filepath.Join(s.dir, h.name))
	if err != nil {
		return nil, missing(err, h)
	}
	return s.named(h, info)
}

// named returns the manifest as Raft knows it, which must be that of the snapshot of that name.
func (s *Store) named(h held, info Info) (*raft.SnapshotMeta, error) {
	if info.ID != h.id || info.Index != h.index || info.Term != h.term {
		return nil, &disk.CorruptError{File: filepath.Join(s.dir, h.name), Why: "it is snapshot " + info.ID}
	}
	return info.Meta()
}

func (s *Store) open(h held) (*raft.SnapshotMeta, io.ReadCloser, error) {
	path := filepath.Join(s.dir, h.name)
	if h.old {
		return s.openOld(path, h)
	}
	f, info, err := openFile(path)
	if err != nil {
		return nil, nil, missing(err, h)
	}
	m, err := s.named(h, info)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return m, &payload{newReader(f, path, info), f}, nil
}

// openInfo is open with the manifest of the archive that it is or would be.
func (s *Store) openInfo(h held) (Info, io.ReadCloser, error) {
	m, r, err := s.open(h)
	if err != nil {
		return Info{}, nil, err
	}
	if p, ok := r.(*payload); ok {
		info, err := infoOf(m)
		info.SHA256 = p.want
		return info, r, err
	}
	info, err := hashed(m, r)
	if err != nil {
		return Info{}, nil, err
	}
	_, r, err = s.open(h)
	return info, r, err
}

// missing makes a snapshot that vanished what it is: damage.
func missing(err error, h held) error {
	if errors.Is(err, os.ErrNotExist) {
		return &disk.CorruptError{File: h.name, Why: "it is gone"}
	}
	return err
}

// tell hands damage to whoever stops the node.
func (s *Store) tell(err error) error {
	if _, corrupt := errors.AsType[*disk.CorruptError](err); corrupt {
		s.o.Log.Error("a snapshot is corrupt", "error", err)
		s.o.Fault.Set(err) //nolint:errcheck // it is err, or came before it
	}
	return err
}

// payload is the payload of an archive that is a file.
type payload struct {
	*Reader
	f *os.File
}

// Close closes the file.
func (p *payload) Close() error { return p.f.Close() }

// telling tells the store of damage that the reader meets.
type telling struct {
	io.ReadCloser
	s *Store
}

// Read reads on.
func (t *telling) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = t.s.tell(err)
	}
	return n, err
}
