package disklab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/integration/internal/claim"
)

// Lab is the disks of one run.
type Lab struct {
	claim *claim.Claim
	dir   string

	close func() error
}

// Available says why there can be no disks here: nil when there can.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("mounting needs root")
	}
	for _, tool := range []string{"mount", "mkfs.ext4"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("the command %s is missing (packages mount and e2fsprogs)", tool)
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return errors.New("there are no loop devices (/dev/loop-control)")
	}
	return try()
}

// try makes a disk: a container's root may have the tools and not the right.
func try() error {
	const wait, size = 10 * time.Second, 8 << 20
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	l, err := Open()
	if err != nil {
		return err
	}
	_, err = l.Ext4(ctx, "try", size)
	return errors.Join(err, l.Close())
}

// Open makes a lab without disks.
func Open() (*Lab, error) {
	c, err := claim.Take("disk", sweep)
	if err != nil {
		return nil, err
	}
	l := &Lab{claim: c, dir: filepath.Join(base(), c.Tag)}
	l.close = sync.OnceValue(func() error { return errors.Join(sweep(c.Tag), c.Release()) })
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("make disks folder: %w", err), l.Close())
	}
	return l, nil
}

// Close unmounts and removes every disk. Nobody may use one any more. It may be called twice.
func (l *Lab) Close() error { return l.close() }

// base is where disks are kept: in memory, where the host has a place for it.
func base() string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		return memory
	}
	return os.TempDir()
}

// sweep unmounts and removes what lies below the folder of a run.
func sweep(tag string) error {
	dir := filepath.Join(base(), tag)
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		// One that a run left frozen would be so for ever; whether it is says the kernel.
		_ = (&Disk{Dir: m}).Thaw()
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", m, err)
		}
	}
	return os.RemoveAll(dir)
}

// mountsBelow lists what is mounted below dir, the deepest first.
func mountsBelow(dir string) ([]string, error) {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var below []string
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			below = append(below, fields[1])
		}
	}
	slices.Reverse(below)
	return below, nil
}

// tool runs a command of the system.
func tool(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
