package binding

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
)

// blockSuffix marks the files that are ours to wipe.
const blockSuffix = ".block"

// block is one preallocated file.
type block struct {
	path string
	mu   sync.RWMutex // one write is seen whole or not at all, and so is every sector
	file *os.File
	out  flusher
}

// blockPath is where the block of a lease is. The id is somebody else's text; its hash is a file
// name.
func blockPath(dir string, id api.LeaseID) string {
	return filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256([]byte(id)))+blockSuffix)
}

// openBlock makes a zeroed file of size bytes whose space is taken from the disk now, not at
// the first write. A block beside an error is what could not be removed again.
func openBlock(dir string, id api.LeaseID, size int64) (*block, error) {
	path := blockPath(dir, id)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make block file: %w", err)
	}
	b := &block{path: path, file: file}
	if err := allocate(file, size); err != nil {
		err = fmt.Errorf("allocate %d bytes of block: %w", size, err)
		if left := b.destroy(); left != nil {
			return b, errors.Join(err, left)
		}
		return nil, err
	}
	return b, nil
}

// allocate takes the space. Where the file system cannot, writing zeros does.
func allocate(file *os.File, size int64) error {
	err := retry(func() error { return unix.Fallocate(int(file.Fd()), 0, 0, size) })
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off); err != nil {
			return err
		}
	}
	return nil
}

// retry repeats a call that a signal of the Go runtime's interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (b *block) readAt(p []byte, off int64) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if _, err := b.file.ReadAt(p, off); err != nil {
		return fmt.Errorf("read block: %w", err)
	}
	return nil
}

func (b *block) writeAt(p []byte, off int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.file.WriteAt(p, off); err != nil {
		return fmt.Errorf("write block: %w", err)
	}
	return nil
}

// sync brings what was written to the disk.
func (b *block) sync() error {
	return b.out.do(func() error {
		if err := retry(func() error { return unix.Fdatasync(int(b.file.Fd())) }); err != nil {
			return fmt.Errorf("sync block: %w", err)
		}
		return nil
	})
}

// leave closes the file, which stays.
func (b *block) leave() error {
	if err := b.file.Close(); err != nil {
		return fmt.Errorf("close block: %w", err)
	}
	b.file = nil
	return nil
}

// findBlock opens a block that an agent before this one left. One that is not as it was left is
// none.
func findBlock(dir string, id api.LeaseID, size int64) (*block, error) {
	path := blockPath(dir, id)
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open block file: %w", err)
	}
	stat, err := file.Stat()
	if err == nil && (!stat.Mode().IsRegular() || stat.Size() != size) {
		err = fmt.Errorf("it has mode %s and %d bytes, not %d", stat.Mode(), stat.Size(), size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("look at block file: %w", err), file.Close())
	}
	return &block{path: path, file: file}, nil
}

// prompt is for none: there is a disk to wait for.
func (b *block) prompt() bool { return false }

// destroy wipes and removes the file: whoever should still have it open reads nothing. A call
// after one that failed tries again, after one that succeeded does nothing.
func (b *block) destroy() error {
	if b.file == nil {
		return nil
	}
	if err := retry(func() error { return unix.Ftruncate(int(b.file.Fd()), 0) }); err != nil {
		return fmt.Errorf("wipe block: %w", err)
	}
	if err := os.Remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove block: %w", err)
	}
	if err := b.file.Close(); err != nil {
		return fmt.Errorf("close block: %w", err)
	}
	b.file = nil
	return nil
}

// name is the file's path.
func (b *block) name() string { return b.path }

// wipeBlocks removes what an agent before this one left in dir, but for what is to be kept, and
// nothing else there.
func wipeBlocks(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list block files: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if filepath.Ext(e.Name()) != blockSuffix || keep[path] {
			continue
		}
		if e.Type().IsRegular() {
			if err := os.Truncate(path, 0); err != nil {
				return fmt.Errorf("wipe block: %w", err)
			}
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove block: %w", err)
		}
	}
	return nil
}

// lockDir makes sure that only one agent uses dir: a second one would wipe what the first
// has bound. The kernel unlocks it when the file is closed, however the agent ends.
func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s, which another agent seems to use: %w", dir, err), lock.Close())
	}
	return lock, nil
}
