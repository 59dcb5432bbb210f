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
	// In ever smaller pieces, since the last piece that does not fit leaves room.
	for piece := 1 << 20; piece >= 512; {
		_, err = f.Write(make([]byte, piece))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			piece /= 2
		case err != nil:
			return errors.Join(fmt.Errorf("fill disk: %w", err), f.Close())
		}
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(fmt.Errorf("fill disk: %w", err), f.Close())
	}
	if err := f.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("fill disk: %w", err)
	}
	return nil
}

// Free gives back what Fill took.
func (d *Disk) Free() error {
	if err := os.Remove(filepath.Join(d.Dir, filler)); err != nil {
		return fmt.Errorf("free disk: %w", err)
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
	dir, err := os.Open(d.Dir)
	if err != nil {
		return fmt.Errorf("cut power: %w", err)
	}
	defer dir.Close() //nolint:errcheck // there is nothing left to write to
	if err := unix.IoctlSetPointerInt(int(dir.Fd()), ioctlShutdown, noLogFlush); err != nil {
		return fmt.Errorf("cut power of %s: %w", d.Dir, err)
	}
	return nil
}

// Restore mounts the disk again after a power cut.
func (d *Disk) Restore(ctx context.Context) error {
	if err := unix.Unmount(d.Dir, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", d.Dir, err)
	}
	return d.mount(ctx)
}
