package cellagent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
)

// dirLock is the lock on the agent's directory. The kernel drops it with the process, so that
// a killed agent leaves none behind.
type dirLock struct{ file *os.File }

// lockDir makes the directory and locks it; it refuses one that another agent has.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make agent directory: %w", err)
	}
	path := filepath.Join(dir, "agent.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, api.Refuse(api.Conflict, "another cell agent runs in data directory %s", dir).
				WithHint("end it first, or give this one its own --data-dir")
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &dirLock{file: f}, nil
}

// release gives the directory up.
func (l *dirLock) release() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close lock file: %w", err)
	}
	return nil
}

// wipe removes what an earlier agent left of its runs. What it left of its bindings is the Host's.
func wipe(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, dirTemp)); err != nil {
		return fmt.Errorf("wipe what an earlier agent left: %w", err)
	}
	return nil
}
