package tasklet

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/grafos/grafos/api"
)

// openCache makes the directory of compiled code, for this user only: whoever can write there
// decides what runs.
func openCache(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make code cache: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close code cache to others: %w", err)
	}
	return nil
}

// tenantCache makes and returns the tenant's own directory. Tenants share no compiled code:
// a worker of one could poison it for another, or learn from its timing what another runs.
func tenantCache(dir string, tenant api.TenantID) (string, error) {
	sum := sha256.Sum256([]byte(tenant))
	own := filepath.Join(dir, fmt.Sprintf("%x", sum[:16]))
	if err := os.Mkdir(own, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make tenant's code cache: %w", err)
	}
	return own, nil
}

// sweepCache removes the oldest files until at most limit bytes are left. A worker that was
// about to load one compiles again.
func sweepCache(dir string, limit int64) error {
	type file struct {
		path string
		size int64
		at   time.Time
	}
	var files []file
	var total int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return skipMissing(err)
		}
		info, err := d.Info()
		if err != nil {
			return skipMissing(err)
		}
		files = append(files, file{path, info.Size(), info.ModTime()})
		total += info.Size()
		return nil
	})
	if err != nil {
		return fmt.Errorf("walk code cache: %w", err)
	}
	slices.SortFunc(files, func(a, b file) int { return a.at.Compare(b.at) })
	for _, f := range files {
		if total <= limit {
			return nil
		}
		if err := os.Remove(f.path); skipMissing(err) != nil {
			return fmt.Errorf("sweep code cache: %w", err)
		}
		total -= f.size
	}
	return nil
}

// skipMissing takes away the error of a file that a worker removed meanwhile.
func skipMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
