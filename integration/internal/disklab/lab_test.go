package disklab

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func lab(t *testing.T) *Lab {
	t.Helper()
	if err := Available(); err != nil {
		t.Skipf("no disks can be made here: %v", err)
	}
	l, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// write writes a file, and syncs it with its folder when durable.
func write(t *testing.T, path, text string, durable bool) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if durable {
		err = errors.Join(err, f.Sync())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if !durable {
		return
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestFill(t *testing.T) {
	l := lab(t)
	ext4, err := l.Ext4(t.Context(), "ext4", 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := l.Memory("memory", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []*Disk{ext4, memory} {
		for range 2 {
			if err := d.Fill(); err != nil {
				t.Fatal(err)
			}
			big := []byte(strings.Repeat("x", 64<<10))
			path := filepath.Join(d.Dir, "more")
			if err := os.WriteFile(path, big, 0o600); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s is full and takes more: %v", d.Dir, err)
			}
			if err := errors.Join(os.Remove(path), d.Free(), os.WriteFile(path, big, 0o600), os.Remove(path)); err != nil {
				t.Errorf("%s has room again: %v", d.Dir, err)
			}
		}
	}
}

// TestPower: what was synced is there after a power cut, what was not is lost, and what is
// written in between is refused.
func TestPower(t *testing.T) {
	d, err := lab(t).Ext4(t.Context(), "disk", 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	kept, lost := filepath.Join(d.Dir, "kept"), filepath.Join(d.Dir, "lost")
	write(t, kept, "synced", true)
	write(t, lost, "not synced", false)
	if err := d.CutPower(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lost, []byte("late"), 0o600); err == nil {
		t.Error("a disk without power took a file")
	}
	if err := d.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(kept); err != nil || string(b) != "synced" {
		t.Errorf("what was synced: %q, %v", b, err)
	}
	if b, err := os.ReadFile(lost); err == nil && len(b) > 0 {
		t.Errorf("what was not synced: %q", b)
	}
}

// TestFreedForGood: a power cut does not fill a disk again that was freed.
func TestFreedForGood(t *testing.T) {
	d, err := lab(t).Ext4(t.Context(), "disk", 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Fill(), d.Free(), d.CutPower(), d.Restore(t.Context())); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(d.Dir, "more"), strings.Repeat("x", 1<<20), true)
}

// TestFreeze: a write to a frozen disk hangs until it is thawed; a lab that is closed leaves
// none frozen.
func TestFreeze(t *testing.T) {
	l := lab(t)
	d, err := l.Ext4(t.Context(), "disk", 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Freeze(); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(filepath.Join(d.Dir, "late"), []byte("x"), 0o600) }()
	select {
	case err := <-wrote:
		t.Errorf("a frozen disk took a file: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := d.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if err := d.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestLeftovers: the next run removes what one that died left, and Close all that is its own.
func TestLeftovers(t *testing.T) {
	l := lab(t)
	if _, err := l.Ext4(t.Context(), "disk", 16<<20); err != nil {
		t.Fatal(err)
	}
	if err := l.claim.Release(); err != nil { // as a run that was killed lets go
		t.Fatal(err)
	}
	l.close = func() error { return nil }
	next := lab(t)
	if next.dir != l.dir {
		t.Skipf("another run took the number of %s", l.dir)
	}
	if left, err := os.ReadDir(next.dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	for range 2 {
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(next.dir); err == nil {
		t.Errorf("%s is still there", next.dir)
	}
}
