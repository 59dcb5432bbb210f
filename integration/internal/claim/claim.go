// Package claim numbers the tests that change the host they run on: what they make there
// (namespaces, mounts) carries the number in its name. A number is held for as long as its
// process lives, so that whoever comes next can tell the leftovers of a dead run from what
// is in use, and remove those and nothing else.
package claim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// dir holds one file a number, locked while it is in use.
const dir = "/run/grafos-lab"

// maxClaims bounds the numbers of a kind.
const maxClaims = 256

// Claim is a number that is in use.
type Claim struct {
	// Number is below 256, and no other living claim of its kind has it.
	Number int
	// Tag is what the names of everything that belongs to the claim begin with.
	Tag  string
	file *os.File
}

// Take takes the lowest free number of a kind. First it has sweep remove what dead runs left
// behind: whatever is named by the tag that sweep is given. Of two that take at the same time
// the second one waits.
func Take(kind string, sweep func(tag string) error) (*Claim, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make claims folder: %w", err)
	}
	door, err := lock(filepath.Join(dir, kind), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer door.Close() //nolint:errcheck // its end unlocks it
	if err := sweepDead(kind, sweep); err != nil {
		return nil, err
	}
	for n := range maxClaims {
		path := filepath.Join(dir, kind+"-"+strconv.Itoa(n))
		f, err := lock(path, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &Claim{Number: n, Tag: tag(kind, n), file: f}, nil
	}
	return nil, fmt.Errorf("all %d numbers of %s are in use (%s)", maxClaims, kind, dir)
}

// tag ends with a letter, so that that of 1 does not begin that of 12.
func tag(kind string, n int) string { return fmt.Sprintf("gflab-%s%dx", kind, n) }

// sweepDead removes what is named by numbers that nobody holds.
func sweepDead(kind string, sweep func(string) error) error {
	for n := range maxClaims {
		path := filepath.Join(dir, kind+"-"+strconv.Itoa(n))
		if _, err := os.Stat(path); err != nil {
			continue
		}
		f, err := lock(path, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue // its run lives
		}
		if err != nil {
			return err
		}
		err = errors.Join(sweep(tag(kind, n)), os.Remove(path), f.Close())
		if err != nil {
			return fmt.Errorf("remove what run %s left behind: %w", tag(kind, n), err)
		}
	}
	return nil
}

// lock opens a file and locks it; the lock goes with the file, also when the process dies.
func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open claim: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock claim %s: %w", path, err), f.Close())
	}
	return f, nil
}

// Release gives the number back. Whatever carries it must be gone. The file stays: whoever
// takes a number next removes it, behind the door that every taker goes through.
func (c *Claim) Release() error {
	if err := c.file.Close(); err != nil {
		return fmt.Errorf("release claim: %w", err)
	}
	return nil
}
