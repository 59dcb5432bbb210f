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
	"time"

	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/harness"
)

// damage changes a file of a stopped scheduler's data.
type damage func(dir string, rng *rand.Rand) (damaged, error)

// damaged is a file that was changed, and what it held; "" is none, where there is none of
// its kind.
type damaged struct {
	file   string
	before []byte
}

// page is the size of the pages of raft.db.
const page = 4096

// damageWith damages the data of a follower.
func damageWith(harm damage) func(context.Context, *run, fault) (heal, error) {
	return func(ctx context.Context, r *run, f fault) (heal, error) {
		n, err := r.follower(ctx, f)
		if err != nil {
			return nil, err
		}
		return r.damage(ctx, n, f, harm)
	}
}

// damage ends a scheduler, damages its data and starts it: it must refuse, and say what is
// wrong with which file, unless the damage lies where nothing is kept. The others go on.
//
// Then the file comes back as it was, as that of a disk that was only unplugged. A scheduler
// whose data is lost for good cannot rejoin under a new id yet; that is what heals this fault
// once it can.
func (r *run) damage(ctx context.Context, n *fleet.Node, f fault, harm damage) (heal, error) {
	if err := n.Kill(); err != nil {
		return nil, err
	}
	dir := fleet.DataDir(n.Disk)
	small, err := keep(dir)
	if err != nil {
		return nil, err
	}
	d, err := harm(dir, f.rng())
	if err != nil {
		return nil, err
	}
	if d.file == "" {
		r.t.Logf("%s: %s has no such file", f.name, n.Name)
		return restart(n), nil
	}
	mark := n.LogSize()
	if err := n.Start(); err != nil {
		return nil, err
	}
	if !r.ends(ctx, n) {
		r.t.Logf("%s: %s starts: what was damaged of %s does not count, or is fetched again", f.name, n.Name, filepath.Base(d.file))
		return func(context.Context) error { return nil }, nil
	}
	r.says(n, mark, filepath.Base(d.file))
	r.goesOn(ctx)
	return func(context.Context) error {
		small[d.file] = d.before
		return errors.Join(small.bring(), n.Start())
	}, nil
}

// kept is the content of files before any was damaged.
type kept map[string][]byte

// keepMost is the size of the largest file that is kept without being damaged.
const keepMost = 1 << 20

func keep(dir string) (kept, error) {
	k := kept{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err != nil || info.Size() > keepMost {
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
func change(path string, edit func([]byte) []byte) (damaged, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return damaged{}, nil
	}
	if err != nil {
		return damaged{}, fmt.Errorf("damage: %w", err)
	}
	if err := os.WriteFile(path, edit(slices.Clone(b)), 0o600); err != nil {
		return damaged{}, fmt.Errorf("damage: %w", err)
	}
	return damaged{path, b}, nil
}

// logFile is the file of the Raft log: raft.db, or the newest segment of a write-ahead log.
func logFile(dir string) string {
	segments, err := filepath.Glob(filepath.Join(dir, "raft", "raft.wal", "*.wal"))
	if err != nil || len(segments) == 0 {
		return filepath.Join(dir, "raft", "raft.db")
	}
	slices.Sort(segments)
	return segments[len(segments)-1]
}

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

func flipLog(dir string, rng *rand.Rand) (damaged, error) {
	return change(logFile(dir), flip(rng, 16))
}

// flipStable turns a bit in every copy of Raft's term and of its vote in the log's file; one
// of them is the one that counts.
func flipStable(dir string, rng *rand.Rand) (damaged, error) {
	file := logFile(dir)
	if strings.HasSuffix(file, ".wal") {
		return change(filepath.Join(filepath.Dir(file), "values"), flip(rng, 8))
	}
	return change(file, func(b []byte) []byte {
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

// flipSecondCopy damages the second copy of term and vote.
func flipSecondCopy(dir string, rng *rand.Rand) (damaged, error) {
	copies, err := filepath.Glob(filepath.Join(dir, "raft", "*.votes"))
	if err != nil || len(copies) == 0 {
		return damaged{}, err
	}
	return change(copies[0], flip(rng, 8))
}

// putBack puts an older copy of its log back under a scheduler that has voted and acknowledged
// since: whole by itself, and a lie.
func putBack(ctx context.Context, r *run, f fault) (heal, error) {
	n, err := r.follower(ctx, f)
	if err != nil {
		return nil, err
	}
	dir := fleet.DataDir(n.Disk)
	if err := n.Kill(); err != nil {
		return nil, err
	}
	older, err := os.ReadFile(logFile(dir))
	if err != nil {
		return nil, fmt.Errorf("copy log: %w", err)
	}
	if err := n.Start(); err != nil {
		return nil, err
	}
	if err := r.whole(ctx); err != nil {
		return nil, err
	}
	r.goesOn(ctx)
	return r.damage(ctx, n, f, func(dir string, _ *rand.Rand) (damaged, error) {
		return change(logFile(dir), func([]byte) []byte { return older })
	})
}

func truncateLog(dir string, rng *rand.Rand) (damaged, error) {
	return change(logFile(dir), func(b []byte) []byte {
		used := len(bytes.TrimRight(b, "\x00")) // the file grows in steps
		return b[:rng.IntN(used)]
	})
}

// flipAudit damages a segment of the audit chain: it is fetched again from a peer.
func flipAudit(dir string, rng *rand.Rand) (damaged, error) { return anyFile(dir, "audit", rng) }

// damageSnapshot damages a snapshot of a follower that has one. One of two is no loss while
// the log reaches back to the other.
func damageSnapshot(ctx context.Context, r *run, f fault) (heal, error) {
	n, err := r.follower(ctx, f)
	if err != nil {
		return nil, err
	}
	below := filepath.Join("raft", "snapshots")
	if err := r.await(ctx, func() bool { return len(filesBelow(fleet.DataDir(n.Disk), below)) > 0 }); err != nil {
		return nil, fmt.Errorf("wait for a snapshot of %s: %w", n.Name, err)
	}
	return r.damage(ctx, n, f, func(dir string, rng *rand.Rand) (damaged, error) { return anyFile(dir, below, rng) })
}

// await waits until something holds that is only seen by looking.
func (r *run) await(ctx context.Context, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, r.atEase(20*time.Second))
	defer cancel()
	for !holds() {
		if err := harness.Pause(ctx, 50*ms); err != nil {
			return err
		}
	}
	return nil
}

// anyFile damages one file below a folder.
func anyFile(dir, below string, rng *rand.Rand) (damaged, error) {
	files := filesBelow(dir, below)
	if len(files) == 0 {
		return damaged{}, nil
	}
	return change(files[rng.IntN(len(files))], flip(rng, 4))
}

// filesBelow lists the files below a folder that are not empty.
func filesBelow(dir, below string) []string {
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
	if err != nil {
		return nil // the folder is not there yet
	}
	return files
}
