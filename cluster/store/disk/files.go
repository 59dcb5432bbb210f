package disk

import (
	"errors"
	"os"
	"path/filepath"
)

// SyncDir makes a rename or a new file in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return Explain("sync directory", dir, err)
	}
	return Explain("sync directory", dir, errors.Join(d.Sync(), d.Close()))
}

// WriteFile puts data under path, whole and durable: it is written beside it, synced, renamed,
// and the directory synced. A crash leaves the old file or the new one, and perhaps path.tmp.
func WriteFile(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return Explain("write", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return Explain("write", path, errors.Join(err, os.Remove(tmp)))
	}
	if err := os.Rename(tmp, path); err != nil {
		return Explain("write", path, err)
	}
	return SyncDir(filepath.Dir(path))
}
