package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/grafos/grafos/api"
)

// Sweep removes this scheduler's copies that keep does not want and that were put longer
// than olderThan ago: a blob is put before anything refers to it, so the young ones are left.
// It returns how many were removed.
func (s *Store) Sweep(keep func(api.Digest) bool, olderThan time.Duration) (int, error) {
	removed := 0
	err := filepath.WalkDir(filepath.Join(s.dir, "sha256"), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		d := api.Digest(digestPrefix + e.Name())
		if !s.owns(d, path) {
			s.c.Log.Warn("file among the blobs is not one", "path", path)
			return nil
		}
		gone, err := s.sweepOne(d, keep, olderThan)
		if gone {
			removed++
		}
		return err
	})
	if err != nil {
		return removed, fmt.Errorf("sweep blobs: %w", err)
	}
	return removed, nil
}

// owns reports whether path is where the blob d is.
func (s *Store) owns(d api.Digest, path string) bool {
	return api.CheckDigest(d) == nil && s.path(d) == path
}

// sweepOne removes one blob. The age is read under the lock under which a put touches: a put
// that found the blob here keeps it here.
func (s *Store) sweepOne(d api.Digest, keep func(api.Digest) bool, olderThan time.Duration) (bool, error) {
	if keep(d) {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if time.Since(info.ModTime()) < olderThan {
		return false, nil
	}
	if err := os.Remove(s.path(d)); err != nil {
		return false, err
	}
	return true, nil
}
