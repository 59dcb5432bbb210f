package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/cluster/store/disk"
)

// mark is a lower bound of what was acknowledged: the newest entry with its checksum, and the
// newest snapshot. A log or a set of snapshots that ends before it has lost something.
//
// It is written after every append and not synced: appends must not wait for it. It outlives
// the process, and the machine but for its last seconds; what it then says is still true,
// only of less. What makes it smaller is synced first: the end of the log is cut off after
// the mark says so.
//
//	offset  bytes
//	0       4     CRC-32C of the rest
//	4       4     "GRM1"
//	8       8     index of the newest entry; 0 is none
//	16      4     its checksum
//	20      8     index of the newest snapshot; 0 is none
//	28      8     its term
//
// The rest of its one sector is zero.
type mark struct {
	last        uint64
	sum         uint32
	snap, sterm uint64
}

const (
	markLen   = 512
	markMagic = "GRM1"
)

func (m mark) encode() []byte {
	b := make([]byte, markLen)
	copy(b[4:], markMagic)
	binary.BigEndian.PutUint64(b[8:], m.last)
	binary.BigEndian.PutUint32(b[16:], m.sum)
	binary.BigEndian.PutUint64(b[20:], m.snap)
	binary.BigEndian.PutUint64(b[28:], m.sterm)
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli()))
	return b
}

func parseMark(b []byte) (mark, error) {
	if len(b) != markLen {
		return mark{}, fmt.Errorf("it has %d bytes, not %d", len(b), markLen)
	}
	if want, got := binary.BigEndian.Uint32(b), crc32.Checksum(b[4:], castagnoli()); want != got {
		return mark{}, fmt.Errorf("checksum %08x, content has %08x", want, got)
	}
	if string(b[4:8]) != markMagic {
		return mark{}, errors.New("it is of another format than this release knows")
	}
	return mark{
		last: binary.BigEndian.Uint64(b[8:]), sum: binary.BigEndian.Uint32(b[16:]),
		snap: binary.BigEndian.Uint64(b[20:]), sterm: binary.BigEndian.Uint64(b[28:]),
	}, nil
}

// readMark reads the mark at path; ok is false where there is none.
func readMark(path string) (m mark, ok bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, false, nil
	}
	if err != nil {
		return mark{}, false, fmt.Errorf("read mark: %w", err)
	}
	if m, err = parseMark(b); err != nil {
		return mark{}, false, &CorruptError{File: path, Why: err.Error()}
	}
	return m, true, nil
}

// check reports what the log lacks of what the mark says was acknowledged.
func (m mark) check(file string, s *sums) error {
	if m.last > s.last() {
		return lost(file, m.last, s.last())
	}
	if sum, held := s.at(m.last); held && sum != m.sum {
		return &CorruptError{File: file, Index: m.last, Why: "it is another entry than the one that was acknowledged"}
	}
	return nil
}

func createMark(path string, m mark) error { return disk.WriteFile(path, m.encode()) }

// markFile is the mark, open.
type markFile struct {
	path string
	f    *os.File

	mu  sync.Mutex
	cur mark // guarded by mu
}

func openMark(path string, m mark) (*markFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open mark: %w", err)
	}
	return &markFile{path: path, f: f, cur: m}, nil
}

func (m *markFile) get() mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cur
}

// entry moves the mark to an entry of the log. One that is synced is on disk on return.
func (m *markFile) entry(index uint64, sum uint32, synced bool) error {
	return m.write(synced, func(cur *mark) { cur.last, cur.sum = index, sum })
}

// snapshot moves the mark to a snapshot and returns when it is on disk.
func (m *markFile) snapshot(index, term uint64) error {
	return m.write(true, func(cur *mark) { cur.snap, cur.sterm = index, term })
}

func (m *markFile) write(synced bool, change func(*mark)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.cur)
	if _, err := m.f.WriteAt(m.cur.encode(), 0); err != nil {
		return disk.Explain("write mark", m.path, err)
	}
	if !synced {
		return nil
	}
	return disk.Explain("sync mark", m.path, datasync(m.f))
}

func (m *markFile) close() error {
	return errors.Join(disk.Explain("sync mark", m.path, datasync(m.f)), m.f.Close())
}

// datasync is fsync without what a file of constant length does not need.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
