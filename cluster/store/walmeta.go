package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft-wal/types"

	"github.com/grafos/grafos/cluster/store/disk"
)

// walMeta keeps what raft-wal must know of its segments in one small file that is replaced
// whole: a CRC-32C of the rest, "GRW1", and JSON. (raft-wal's own is a bolt file without a
// checksum: a flipped digit would be another segment.) It implements types.MetaStore.
type walMeta struct {
	dir   string
	path  string
	log   hclog.Logger
	fault *disk.Fault

	mu  sync.Mutex
	cur types.PersistentState // guarded by mu
}

const walMagic = "GRW1"

func walMetaPath(dir string) string { return filepath.Join(dir, "meta") }

// openWALMeta reads the meta file of the log in dir, or makes the first one.
func openWALMeta(dir string, o LogOptions) (*walMeta, error) {
	m := &walMeta{dir: dir, path: walMetaPath(dir), log: o.Log, fault: o.fault}
	b, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, m.create()
	}
	if err != nil {
		return nil, fmt.Errorf("open raft log: %w", err)
	}
	if m.cur, err = parseWALState(b); err != nil {
		return nil, &CorruptError{File: m.path, Why: err.Error()}
	}
	return m, nil
}

func (m *walMeta) create() error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return disk.Explain("make", m.dir, err)
	}
	segments, err := filepath.Glob(filepath.Join(m.dir, "*.wal"))
	if err != nil {
		return fmt.Errorf("list raft log segments: %w", err)
	}
	if len(segments) > 0 {
		return &CorruptError{File: m.path, Why: "it is gone, and its segments are not"}
	}
	if err := disk.SyncDir(filepath.Dir(m.dir)); err != nil {
		return err
	}
	if err := createVotes(walValuesPath(m.dir), values{}); err != nil {
		return err
	}
	return m.write(types.PersistentState{}) // last: there is a log from then on
}

func printWALState(s types.PersistentState) ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode raft log meta: %w", err)
	}
	b := append([]byte{0, 0, 0, 0}, walMagic...)
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli()))
	return b, nil
}

func parseWALState(b []byte) (types.PersistentState, error) {
	const headLen = 4 + len(walMagic)
	var s types.PersistentState
	if len(b) < headLen {
		return s, fmt.Errorf("%d bytes are too few", len(b))
	}
	if want, got := binary.BigEndian.Uint32(b), crc32.Checksum(b[4:], castagnoli()); want != got {
		return s, fmt.Errorf("checksum %08x, content has %08x", want, got)
	}
	if string(b[4:headLen]) != walMagic {
		return s, errors.New("it is of another format than this release knows")
	}
	if err := json.Unmarshal(b[headLen:], &s); err != nil {
		return types.PersistentState{}, fmt.Errorf("it is not readable: %w", err)
	}
	return s, nil
}

func (m *walMeta) state() types.PersistentState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cur
}

// write puts s in the file's place. The caller holds m.mu, or is alone.
func (m *walMeta) write(s types.PersistentState) error {
	b, err := printWALState(s)
	if err != nil {
		return err
	}
	if err := disk.WriteFile(m.path, b); err != nil {
		return m.fault.Set(err) // raft-wal only logs it when it comes between two appends
	}
	m.cur = s
	return nil
}

// Load returns what is known of the segments.
func (m *walMeta) Load(string) (types.PersistentState, error) { return m.state(), nil }

// CommitState replaces what is known of the segments.
func (m *walMeta) CommitState(s types.PersistentState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(s)
}

// GetStable is not called: the stable values are walValues' own.
func (m *walMeta) GetStable([]byte) ([]byte, error) { return nil, errors.ErrUnsupported }

// SetStable is not called either.
func (m *walMeta) SetStable(_, _ []byte) error { return errors.ErrUnsupported }

// Close has nothing to close.
func (m *walMeta) Close() error { return nil }

// seal finishes a rotation that a crash cut short: the last segment is sealed, and its index
// is where it says, but nobody knows. (raft-wal opens it as one to write to, and refuses every
// append.) The next segment is made by raft-wal, as after any other crash before its making.
func (m *walMeta) seal(newest, indexStart uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.cur
	s.Segments = append([]types.SegmentInfo(nil), s.Segments...)
	sealed := &s.Segments[len(s.Segments)-1]
	sealed.SealTime, sealed.MaxIndex, sealed.IndexStart = time.Now(), newest, indexStart
	s.Segments = append(s.Segments, types.SegmentInfo{
		ID: s.NextSegmentID, BaseIndex: newest + 1, MinIndex: newest + 1,
		SizeLimit: sealed.SizeLimit, Codec: sealed.Codec, CreateTime: sealed.SealTime,
	})
	s.NextSegmentID++
	m.log.Info("a rotation of the raft log is finished", "path", m.dir, "index", newest)
	return m.write(s)
}
