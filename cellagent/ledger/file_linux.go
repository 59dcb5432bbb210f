package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	fileName = "ledger"
	nextName = "ledger.next"
	// fileMost bounds what is read at the start.
	fileMost = 256 << 20
)

// File is a Disk in a directory of its own.
type File struct {
	dir  string
	file *os.File // nil until there is one
	size int64    // of what was appended whole
	torn bool     // behind that is the beginning of a line
	next *os.File // what was prepared

	// moving is held while another file takes the place of the one that is in use, and while somebody
	// takes that one to sync it, not while he does.
	moving sync.Mutex
	moved  atomic.Bool        // the directory does not know the file for sure
	sync   func(fd int) error // fdatasync
}

// OpenFile makes the directory, where it is missing.
func OpenFile(dir string) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make ledger directory: %w", err)
	}
	return &File{dir: dir, sync: unix.Fdatasync}, nil
}

// Load reads the file, which Append goes on with until the first Swap.
func (f *File) Load() ([]byte, error) {
	file, err := os.OpenFile(filepath.Join(f.dir, fileName), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, fileMost+1))
	if len(content) > fileMost {
		err = fmt.Errorf("%s has more than %d bytes", file.Name(), fileMost)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	whole := bytes.LastIndexByte(content, '\n') + 1
	f.file, f.size, f.torn = file, int64(whole), whole < len(content)
	return content, nil
}

// Append writes p at the end. What was written of it before it failed is cut off again.
func (f *File) Append(p []byte) error {
	if f.file == nil {
		return errors.New("the ledger has no file")
	}
	if f.torn {
		if err := f.file.Truncate(f.size); err != nil {
			return err
		}
		f.torn = false
	}
	if _, err := f.file.WriteAt(p, f.size); err != nil {
		return errors.Join(err, f.file.Truncate(f.size))
	}
	f.size += int64(len(p))
	return nil
}

// Sync brings the file to the disk, and its name, where that is new. A file that took its place
// meanwhile, with all that was in it, is brought there too.
func (f *File) Sync() error {
	for file := f.current(); ; {
		err := f.syncOne(file)
		next := f.current()
		if next == file {
			if err != nil {
				return fmt.Errorf("sync ledger: %w", err)
			}
			break
		}
		file = next // the one before may be closed already
	}
	if !f.moved.Swap(false) {
		return nil
	}
	if err := syncDir(f.dir); err != nil {
		f.moved.Store(true)
		return err
	}
	return nil
}

func (f *File) current() *os.File {
	f.moving.Lock()
	defer f.moving.Unlock()
	return f.file
}

// syncOne syncs a file, which stays open until that is done, whoever closes it.
func (f *File) syncOne(file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var synced error
	if err := conn.Control(func(fd uintptr) { synced = f.sync(int(fd)) }); err != nil {
		return err
	}
	return synced
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Prepare writes the next file beside the one that is in use.
func (f *File) Prepare(all []byte) error {
	next, err := os.OpenFile(filepath.Join(f.dir, nextName), os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if _, err = next.Write(all); err == nil {
		err = next.Sync()
	}
	if err != nil {
		return errors.Join(err, next.Close(), os.Remove(next.Name())) // it takes what is left of the disk
	}
	f.next = next
	return nil
}

// Swap gives the next file the name of the one that was in use.
func (f *File) Swap(tail []byte) error {
	next := f.next
	f.next = nil
	if _, err := next.Write(tail); err != nil {
		return errors.Join(err, next.Close())
	}
	size, err := next.Seek(0, io.SeekCurrent)
	if err != nil {
		return errors.Join(err, next.Close())
	}
	f.moving.Lock()
	defer f.moving.Unlock()
	if err := os.Rename(filepath.Join(f.dir, nextName), filepath.Join(f.dir, fileName)); err != nil {
		return errors.Join(err, next.Close())
	}
	old := f.file
	f.file, f.size, f.torn = next, size, false
	f.moved.Store(true)
	if old != nil {
		_ = old.Close() // nobody can find it any more
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
