package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
)

// dirLock is the file that a running scheduler holds in its data directory.
const dirLock = "server.lock"

const (
	lockTime = time.Second
	lockLook = 10 * time.Millisecond
)

// holdDir keeps a second scheduler out of a data directory. It comes before anything in there
// is opened: what looks torn to the second one is what the first one is writing. The lock
// goes with the process.
func holdDir(dir string) (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, dirLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	// One that was killed a moment ago may still hold it while its threads end.
	for began := time.Now(); ; time.Sleep(lockLook) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Since(began) > lockTime {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = api.Refuse(api.Conflict, "another scheduler runs in data directory %s", dir).
			WithHint("end it first, or give this one its own --data-dir")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
