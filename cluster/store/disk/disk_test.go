package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSetAside(t *testing.T) {
	data := t.TempDir()
	dir := filepath.Join(data, "raft")
	must(t, os.Mkdir(filepath.Join(data, "raft-of-another"), 0o700))
	if where, err := SetAside(dir, "nothing"); err == nil {
		t.Errorf("nothing was set aside as %s", where)
	}
	var all []string
	for range 5 {
		must(t, os.Mkdir(dir, 0o700))
		must(t, WriteFile(filepath.Join(dir, "raft.db"), []byte("damaged")))
		where, err := SetAside(dir, "raft.db: entry 7 is corrupt")
		must(t, err)
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("it is still there: %v", err)
		}
		why, err := os.ReadFile(filepath.Join(where, "WHY.txt"))
		must(t, err)
		if !strings.Contains(string(why), "entry 7 is corrupt") || !strings.Contains(string(why), dir) {
			t.Errorf("the reason reads %q", why)
		}
		all = append(all, where)
	}
	for i, where := range all {
		if _, err := os.Stat(filepath.Join(where, "raft.db")); (err == nil) != (i >= len(all)-asideKept) {
			t.Errorf("of %d the one number %d: %v", len(all), i, err)
		}
	}
}

func TestExplain(t *testing.T) {
	if err := Explain("write", "/data/x", nil); err != nil {
		t.Errorf("nothing is explained as %v", err)
	}
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		err := fmt.Errorf("save: %w", Explain("write", "/data/x", &os.PathError{Op: "write", Path: "/data/x", Err: cause}))
		full, ok := errors.AsType[*FullError](err)
		if !ok || full.File != "/data/x" || !errors.Is(err, cause) || !strings.Contains(err.Error(), "free space on the file system of /data,") {
			t.Errorf("%v is explained as %v", cause, err)
		}
	}
	if err := Explain("write", "/data/x", syscall.EIO); !errors.Is(err, syscall.EIO) {
		t.Errorf("EIO is explained as %v", err)
	}
}

func TestFaultIsToldOnce(t *testing.T) {
	var told []error
	f := NewFault(func(err error) { told = append(told, err) })
	if f.Err() != nil {
		t.Error("a fault before there was one")
	}
	first := errors.New("first")
	if got := f.Set(first); !errors.Is(got, first) {
		t.Errorf("got %v", got)
	}
	if got := f.Set(errors.New("second")); !errors.Is(got, first) || !errors.Is(f.Err(), first) {
		t.Errorf("got %v, holds %v", got, f.Err())
	}
	late := 0
	f.Tell(func(error) { late++ })
	if len(told) != 1 || late != 1 {
		t.Errorf("told %v, and %d of those who asked late", told, late)
	}
	NewFault(nil).Set(first) //nolint:errcheck // nobody is told, and nothing panics
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	must(t, WriteFile(path, []byte("one")))
	must(t, WriteFile(path, []byte("two")))
	if b, err := os.ReadFile(path); string(b) != "two" {
		t.Errorf("holds %q, %v", b, err)
	}
	must(t, os.Mkdir(path+".tmp", 0o700))
	if err := WriteFile(path, []byte("three")); err == nil {
		t.Error("a write that could not begin succeeded")
	}
	must(t, os.Remove(path+".tmp"))
	if entries, err := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("holds %v, %v", entries, err)
	}
}
