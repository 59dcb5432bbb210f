package ui

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/grafos/grafos/api"
)

func TestFileError(t *testing.T) {
	dir := t.TempDir()
	_, missing := os.Open(filepath.Join(dir, "none", "x"))
	_, below := os.Open(filepath.Join(dir, "file", "x"))
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, under := os.Open(filepath.Join(dir, "file", "x"))
	refused := api.Refuse(api.Conflict, "it is so")
	for name, tt := range map[string]struct {
		err  error
		exit int
	}{
		"nothing":       {nil, ExitOK},
		"missing":       {missing, ExitNotFound},
		"missing too":   {below, ExitNotFound},
		"below a file":  {under, ExitUsage},
		"a directory":   {os.WriteFile(dir, nil, 0o600), ExitUsage},
		"wrapped":       {fmt.Errorf("write: %w", missing), ExitNotFound},
		"not allowed":   {&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, ExitUnauthorised},
		"read only":     {&fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, ExitUnauthorised},
		"full":          {&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, ExitFailure},
		"known already": {fmt.Errorf("%w: %w", refused, missing), ExitConflict},
		"another":       {errors.New("it is so"), ExitFailure},
	} {
		got := FileError(tt.err)
		if ExitCode(got) != tt.exit {
			t.Errorf("%s: exit %d, want %d: %v", name, ExitCode(got), tt.exit, got)
		}
		if p, ok := api.AsError(got); ok && p.Kind != api.Conflict && p.Hint == "" && tt.exit != ExitUsage {
			t.Errorf("%s: no hint: %v", name, got)
		}
	}
}
