package pki

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/grafos/grafos/api"
)

const (
	dirMode  fs.FileMode = 0o700
	keyMode  fs.FileMode = 0o600
	certMode fs.FileMode = 0o644

	// maxFile bounds every file that is read here, in bytes; a chain is about 2 KiB.
	maxFile = 64 << 10
)

// replaceFile puts data at path, whole or not at all: a temporary file beside it, synced,
// renamed over it, and the folder synced.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("create temporary file: %w", err)
	}
	if err := fill(tmp, data, mode); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", tmp.Name(), err), os.Remove(tmp.Name()))
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return errors.Join(fmt.Errorf("rename into place: %w", err), os.Remove(tmp.Name()))
	}
	return syncDir(dir)
}

// fill writes, sets the mode, syncs and closes.
func fill(f *os.File, data []byte, mode fs.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a rename in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// readKey reads a file that holds a secret, and refuses one that others could read.
func readKey(path string) ([]byte, error) {
	return readFile(path, func(st fs.FileInfo) error {
		if wider := st.Mode().Perm() &^ keyMode; wider != 0 {
			return api.Refuse(api.InvalidArgument, "key file %s has mode %#o, so others than its owner may use it", path, st.Mode().Perm()).
				WithHint("run: chmod 600 %s (and make a new key if somebody may have read it)", path)
		}
		return nil
	})
}

// readPublic reads a file that holds no secret.
func readPublic(path string) ([]byte, error) {
	return readFile(path, func(fs.FileInfo) error { return nil })
}

// readFile reads a bounded regular file; check sees the open file's own mode, so that
// nobody swaps the file in between.
func readFile(path string, check func(fs.FileInfo) error) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.Refuse(api.NotFound, "file %s does not exist", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	data, err := readChecked(f, check)
	return data, errors.Join(err, f.Close())
}

func readChecked(f *os.File, check func(fs.FileInfo) error) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at file: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, api.Refuse(api.InvalidArgument, "%s is not a regular file", f.Name())
	}
	if err := check(st); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if len(data) > maxFile {
		return nil, api.Refuse(api.TooLarge, "file %s is larger than %d bytes", f.Name(), maxFile)
	}
	return data, nil
}
