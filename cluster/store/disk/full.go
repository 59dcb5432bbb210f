package disk

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// FullError says that a write found no room. Nothing that was acknowledged is lost.
type FullError struct {
	Op   string // what was being done: "append to raft log"
	File string
	Err  error
}

// Error names the file and says what to do.
func (e *FullError) Error() string {
	return fmt.Sprintf("%s %s: the disk is full (%v); nothing acknowledged is lost: free space on the file system of %s, then start this scheduler again",
		e.Op, e.File, e.Err, filepath.Dir(e.File))
}

// Unwrap returns what the system said.
func (e *FullError) Unwrap() error { return e.Err }

// Explain wraps err, which op met at file: as a *FullError where there was no room.
func Explain(op, file string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &FullError{Op: op, File: file, Err: err}
	}
	return fmt.Errorf("%s %s: %w", op, file, err)
}
