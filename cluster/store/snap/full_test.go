package snap

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/grafos/grafos/cluster/store/disk"
)

// TestFullDisk: a snapshot that finds no room is given up, said so, and leaves nothing behind;
// the next one may find some.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("skipped: a small file system needs root")
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("skipped: a small file system is not to be had here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	o := opts()
	o.Fault = disk.NewFault(func(err error) { t.Errorf("told of %v", err) })
	s := open(t, dir, o)
	first := create(t, s, 10, 2, payloadOf(10))
	for range 2 {
		k, err := s.Create(1, 20, 2, configuration(), 9, nil)
		must(t, err)
		for err == nil {
			_, err = k.Write(payloadOf(20))
		}
		full, ok := errors.AsType[*disk.FullError](err)
		if !ok || filepath.Dir(full.File) != filepath.Join(dir, "snapshots") {
			t.Fatalf("got %v", err)
		}
		must(t, k.Cancel())
		if got := names(t, dir); len(got) != 1 || newest(t, s) != first {
			t.Errorf("holds %v", got)
		}
	}
	second := create(t, s, 20, 2, payloadOf(20))
	if newest(t, s) != second || !bytes.Equal(readAll(t, s, second), payloadOf(20)) {
		t.Error("the snapshot that found room is not there")
	}
}
