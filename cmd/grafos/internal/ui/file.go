package ui

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"github.com/grafos/grafos/api"
)

// FileError gives what this machine said of a file that a command was told to use its kind, and
// so its exit code: it is not there, it may not be used, or it is no file of that sort. What is
// wrong with the machine itself, such as a full disk, stays what it is.
func FileError(err error) error {
	if _, known := api.AsError(err); err == nil || known {
		return err
	}
	is := func(cause error) bool { return errors.Is(err, cause) }
	var kind api.Kind
	switch {
	case is(fs.ErrNotExist):
		kind = api.NotFound
	case is(fs.ErrPermission), is(syscall.EROFS):
		kind = api.Forbidden
	case slices.ContainsFunc([]error{fs.ErrExist, syscall.EISDIR, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.EINVAL}, is):
		kind = api.InvalidArgument
	default:
		return err
	}
	return localHint(api.Refuse(kind, "%v", err), err)
}
