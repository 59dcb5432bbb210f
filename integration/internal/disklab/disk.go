package disklab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Disk is one small file system.
type Disk struct {
	// Dir is where it is mounted.
	Dir   string
	image string // the device's file; "" of a disk that has no power to cut
}

// Memory makes a disk of so many bytes that knows no sync: it is for filling.
func (l *Lab) Memory(name string, size int64) (*Disk, error) {
	d := &Disk{Dir: filepath.Join(l.dir, name)}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	if err := unix.Mount("tmpfs", d.Dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return nil, fmt.Errorf("mount disk %s: %w", name, err)
	}
	return d, nil
}

// Ext4 makes a disk of so many bytes with a journal, whose power can be cut.
func (l *Lab) Ext4(ctx context.Context, name string, size int64) (*Disk, error) {
	d := &Disk{Dir: filepath.Join(l.dir, name), image: filepath.Join(l.dir, name+".img")}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	if err := os.Truncate(d.image, size); err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	// Root has no reserve on it: full is full.
	if err := tool(ctx, "mkfs.ext4", "-q", "-m", "0", d.image); err != nil {
		return nil, err
	}
	return d, d.mount(ctx)
}

func (d *Disk) mount(ctx context.Context) error {
	return tool(ctx, "mount", "-t", "ext4", "-o", "loop", d.image, d.Dir)
}

// filler is the file that takes all the room of a disk that is full.
const filler = "filler"

// Fill takes all the room that is left.
func (d *Disk) Fill() error {
	f, err := os.OpenFile(filepath.Join(d.Dir, filler), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("fill disk: %w", err)
	}
	if err := reserve(f); err != nil {
		return errors.Join(fmt.Errorf("fill disk: %w", err), f.Close())
	}
	// What is smaller than a block: until nothing more can be written.
	for err == nil {
		_, err = f.Write(make([]byte, 512))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(fmt.Errorf("fill disk: %w", err), f.Close())
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(fmt.Errorf("fill disk: %w", err), f.Close())
	}
	if err := f.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("fill disk: %w", err)
	}
	return nil
}

// reserve gives f the blocks that are free, without writing them: a large disk costs no
// memory. It goes in ever smaller pieces, since the last one that does not fit leaves room.
func reserve(f *os.File) error {
	size := int64(0)
	for piece := int64(64 << 20); piece >= 4096; {
		err := unix.Fallocate(int(f.Fd()), 0, size, piece)
		switch {
		case err == nil:
			size += piece
		case errors.Is(err, syscall.ENOSPC):
			piece /= 2
		default:
			return err
		}
	}
	return nil
}

// Free gives back what Fill took, for good: a power cut does not fill the disk again.
func (d *Disk) Free() error {
	if err := os.Remove(filepath.Join(d.Dir, filler)); err != nil {
		return fmt.Errorf("free disk: %w", err)
	}
	return d.Sync()
}

// Sync makes what was done to the disk outlive its power.
func (d *Disk) Sync() error {
	return d.control("sync", func(fd int) error { return unix.Syncfs(fd) })
}

// FIFREEZE and FITHAW.
const (
	ioctlFreeze = 0xc0045877
	ioctlThaw   = 0xc0045878
)

// Freeze has every write to the disk hang until Thaw, as one to a device that does not answer.
// A process that hangs in one cannot even be killed.
func (d *Disk) Freeze() error {
	return d.control("freeze", func(fd int) error { return unix.IoctlSetInt(fd, ioctlFreeze, 0) })
}

// Thaw lets the writes go on.
func (d *Disk) Thaw() error {
	return d.control("thaw", func(fd int) error { return unix.IoctlSetInt(fd, ioctlThaw, 0) })
}

// control does something to the whole file system.
func (d *Disk) control(what string, do func(fd int) error) error {
	dir, err := os.Open(d.Dir)
	if err != nil {
		return fmt.Errorf("%s disk: %w", what, err)
	}
	defer dir.Close() //nolint:errcheck // nothing was written to it
	if err := do(int(dir.Fd())); err != nil {
		return fmt.Errorf("%s disk %s: %w", what, d.Dir, err)
	}
	return nil
}

// EXT4_IOC_SHUTDOWN and its flag: stop at once, and write nothing more, the journal neither.
const (
	ioctlShutdown = 0x8004587d
	noLogFlush    = 2
)

// CutPower loses what was not synced; whoever uses the disk gets errors from then on. End the
// processes that use it, then Restore.
func (d *Disk) CutPower() error {
	if d.image == "" {
		return fmt.Errorf("disk %s has no power to cut", d.Dir)
	}
	return d.control("cut power of", func(fd int) error { return unix.IoctlSetPointerInt(fd, ioctlShutdown, noLogFlush) })
}

// Restore mounts the disk again after a power cut.
func (d *Disk) Restore(ctx context.Context) error {
	if err := unix.Unmount(d.Dir, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", d.Dir, err)
	}
	return d.mount(ctx)
}
