package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/grafos/grafos/integration/internal/fleet"
)

// damage changes a file of a stopped scheduler's data. It returns which, "" where there is
// none of its kind.
type damage func(dir string, rng *rand.Rand) (file string, err error)

// page is the size of the pages of raft.db.
const page = 4096

// damageWith ends a scheduler, damages its data and starts it: it must refuse, and say what is
// wrong with which file, unless the damage lies where nothing is kept. The others go on.
//
// Then the file comes back as it was, as that of a disk that was only unplugged. A scheduler
// whose data is lost for good cannot rejoin under a new id yet; that is what heals this fault
// once it can.
func damageWith(harm damage) func(context.Context, *run, fault) (heal, error) {
	return func(ctx context.Context, r *run, f fault) (heal, error) {
		n, err := r.follower(ctx, f)
		if err != nil {
			return nil, err
		}
		if err := n.Kill(); err != nil {
			return nil, err
		}
		dir := fleet.DataDir(n.Disk)
		before, err := keep(dir)
		if err != nil {
			return nil, err
		}
		file, err := harm(dir, f.rng())
		if err != nil {
			return nil, err
		}
		if file == "" {
			r.t.Logf("%s: %s has no such file", f.name, n.Name)
			return restart(n), nil
		}
		mark := n.LogSize()
		if err := n.Start(); err != nil {
			return nil, err
		}
		if !r.ends(ctx, n) {
			r.t.Logf("%s: %s starts: what was damaged of %s does not count, or is fetched again", f.name, n.Name, filepath.Base(file))
			return func(context.Context) error { return nil }, nil
		}
		r.says(n, mark, filepath.Base(file))
		r.goesOn(ctx)
		return func(context.Context) error {
			return errors.Join(before.bring(), n.Start())
		}, nil
	}
}

// kept is the content of files before they were damaged.
type kept map[string][]byte

func keep(dir string) (kept, error) {
	k := kept{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, "blobs") {
			return err
		}
		k[path], err = os.ReadFile(path)
		return err
	})
	return k, err
}

// bring writes the files back.
func (k kept) bring() error {
	for path, b := range k {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return fmt.Errorf("bring back %s: %w", path, err)
		}
	}
	return nil
}

// change rewrites a file.
func change(path string, edit func([]byte) []byte) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("damage: %w", err)
	}
	if err := os.WriteFile(path, edit(b), 0o600); err != nil {
		return "", fmt.Errorf("damage: %w", err)
	}
	return path, nil
}

func logFile(dir string) string { return filepath.Join(dir, "raft", "raft.db") }

// flip turns some bits, each in a page that is not empty.
func flip(rng *rand.Rand, bits int) func([]byte) []byte {
	return func(b []byte) []byte {
		var pages []int
		for at := 0; at < len(b); at += page {
			if slices.ContainsFunc(b[at:min(at+page, len(b))], func(x byte) bool { return x != 0 }) {
				pages = append(pages, at)
			}
		}
		for range bits {
			at := pages[rng.IntN(len(pages))]
			at += rng.IntN(min(page, len(b)-at))
			b[at] ^= 1 << rng.IntN(8)
		}
		return b
	}
}

func flipLog(dir string, rng *rand.Rand) (string, error) {
	return change(logFile(dir), flip(rng, 16))
}

// flipStable turns a bit in every copy of Raft's term and of its vote; one of them is the one
// that counts.
func flipStable(dir string, rng *rand.Rand) (string, error) {
	return change(logFile(dir), func(b []byte) []byte {
		for _, key := range []string{"CurrentTerm", "LastVoteTerm"} {
			for at := 0; ; {
				i := bytes.Index(b[at:], []byte(key))
				if i < 0 {
					break
				}
				at += i + len(key)
				b[min(at+rng.IntN(8), len(b)-1)] ^= 1 << rng.IntN(8)
			}
		}
		return b
	})
}

func truncateLog(dir string, rng *rand.Rand) (string, error) {
	return change(logFile(dir), func(b []byte) []byte {
		used := len(bytes.TrimRight(b, "\x00")) // the file grows in steps
		return b[:rng.IntN(used)]
	})
}

// flipAudit damages a segment of the audit chain: it is fetched again from a peer.
func flipAudit(dir string, rng *rand.Rand) (string, error) { return anyFile(dir, "audit", rng) }

func damageSnapshot(dir string, rng *rand.Rand) (string, error) {
	return anyFile(dir, filepath.Join("raft", "snapshots"), rng)
}

// anyFile damages one file below a folder.
func anyFile(dir, below string, rng *rand.Rand) (string, error) {
	var files []string
	err := filepath.WalkDir(filepath.Join(dir, below), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			info, err := d.Info()
			if err == nil && info.Size() > 0 {
				files = append(files, path)
			}
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || len(files) == 0 {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("damage: %w", err)
	}
	return change(files[rng.IntN(len(files))], flip(rng, 4))
}
