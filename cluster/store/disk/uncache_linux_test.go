package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUncache: what is in no memory any more is there to be read.
func TestUncache(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteFile(path, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	cached := func() bool {
		n, err := unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, 4096)}, 512<<10, unix.RWF_NOWAIT)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Skipf("skipped: the file system of %s does not say what is in memory: %v", path, err)
		}
		return n > 0
	}
	if !cached() {
		t.Skipf("skipped: the file system of %s keeps nothing in memory", path)
	}
	Uncache(f)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		t.Fatal(err)
	}
	if cached() && fs.Type != unix.TMPFS_MAGIC {
		t.Error("it is still in memory")
	}
	if data, err := os.ReadFile(path); err != nil || len(data) != 1<<20 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}
