package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// asideKept is how many damaged directories are kept.
const asideKept = 3

// asideInfix and asideTime make the name of a damaged directory.
const (
	asideInfix = ".damaged-"
	asideTime  = "20060102T150405.000Z"
)

// SetAside renames the damaged directory dir to dir.damaged-time, beside a text that says
// why, and returns where it is. Only the newest few are kept. Whoever calls it must have made
// sure that this scheduler never comes back under the same id (cluster.SetAside does): what
// dir held is forgotten, the votes too. where is not empty once dir is renamed, whatever err
// says.
func SetAside(dir, reason string) (where string, err error) {
	now := time.Now().UTC()
	where = dir + asideInfix + now.Format(asideTime)
	if _, err := os.Lstat(where); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("set %s aside: %s is there already: %w", dir, where, errors.Join(err, fs.ErrExist))
	}
	if err := os.Rename(dir, where); err != nil {
		return "", Explain("set aside", dir, err)
	}
	text := fmt.Sprintf("This directory was %s.\nIt was set aside at %s, and is not used any more:\n\n%s\n",
		dir, now.Format(time.RFC3339), reason)
	return where, errors.Join(
		SyncDir(filepath.Dir(dir)),
		WriteFile(filepath.Join(where, "WHY.txt"), []byte(text)),
		forgetAside(dir),
	)
}

// forgetAside removes what was set aside of dir before the newest few.
func forgetAside(dir string) error {
	entries, err := os.ReadDir(filepath.Dir(dir)) // by name, and so by time
	if err != nil {
		return fmt.Errorf("list what was set aside: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !strings.HasPrefix(e.Name(), filepath.Base(dir)+asideInfix)
	})
	for len(entries) > asideKept {
		if err := os.RemoveAll(filepath.Join(filepath.Dir(dir), entries[0].Name())); err != nil {
			return fmt.Errorf("remove what was set aside: %w", err)
		}
		entries = entries[1:]
	}
	return nil
}
