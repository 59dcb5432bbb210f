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

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/harness"
)

// damage changes a file of a stopped scheduler's data, and returns which.
type damage func(dir string, rng *rand.Rand) (file string, err error)

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

// damage ends a scheduler, damages its data and starts it. Every other time it is told to stop
// when it finds damage; then it is started again as ever. The others go on.
func (r *run) damage(ctx context.Context, n *fleet.Node, f fault, harm damage) (heal, error) {
	before, err := r.state(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := n.Kill(); err != nil {
		return nil, err
	}
	file, err := harm(fleet.DataDir(n.Disk), f.rng())
	if err != nil {
		return nil, err
	}
	mark := n.LogSize()
	if err := n.Disk.Sync(); err != nil {
		return nil, err
	}
	if f.seed%2 == 0 {
		if err := n.Start("env", "GRAFOS_SERVER_ON_DAMAGE=stop"); err != nil {
			return nil, err
		}
		if !r.ends(ctx, n) {
			r.t.Logf("%s: %s starts: what was damaged of %s does not count, or is mended", f.name, n.Name, filepath.Base(file))
			return nothing, nil
		}
		r.says(n, mark, filepath.Base(file))
	}
	if err := n.Start(); err != nil {
		return nil, err
	}
	r.goesOn(ctx, n)
	return func(ctx context.Context) error { return r.rejoins(ctx, n, before.Node, file, mark) }, nil
}

// nothing heals what heals by itself.
func nothing(context.Context) error { return nil }

// rejoins waits until a scheduler whose data was damaged is back, by itself: under its id where
// nothing was lost by the damage, and else under another one. Then it said which file is
// damaged, and has set it aside; whoever runs it looks, and throws it away.
func (r *run) rejoins(ctx context.Context, n *fleet.Node, was api.NodeID, file string, mark int64) error {
	var now *api.NodeState
	err := r.await(ctx, func() bool {
		now = r.states(ctx)[n.Name]
		return now != nil && now.Ready || !n.Runs()
	})
	if err != nil {
		return fmt.Errorf("wait for %s, whose data was damaged: %w", n.Name, err)
	}
	if !n.Runs() {
		r.says(n, mark)
		return fmt.Errorf("%s ended instead of joining again", n.Name)
	}
	if now.Node == was {
		r.t.Logf("%s goes on: what was damaged of %s does not count, or is mended", n.Name, filepath.Base(file))
		return nil
	}
	r.reborn[n.Name] = now.Node
	log, err := n.LogSince(mark)
	if err != nil {
		return err
	}
	aside, err := filepath.Glob(filepath.Join(fleet.DataDir(n.Disk), "*.damaged-*"))
	if err != nil {
		return fmt.Errorf("look for what was set aside: %w", err)
	}
	if len(aside) == 0 || !strings.Contains(log, filepath.Base(file)) {
		r.load.book.fault("%s joined again as %s, set aside %q, and said:\n%s", n.Name, now.Node, aside, log)
	}
	for _, dir := range aside {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove what was set aside: %w", err)
		}
	}
	return n.Disk.Sync()
}

// change rewrites a file.
func change(path string, edit func([]byte) []byte) (file string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("damage: %w", err)
	}
	if err := os.WriteFile(path, edit(slices.Clone(b)), 0o600); err != nil {
		return "", fmt.Errorf("damage: %w", err)
	}
	return path, nil
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

func flipLog(dir string, rng *rand.Rand) (string, error) {
	return change(logFile(dir), flip(rng, 16))
}

// flipStable turns a bit in every copy of Raft's term and of its vote in the log's file; one
// of them is the one that counts.
func flipStable(dir string, rng *rand.Rand) (string, error) {
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
func flipSecondCopy(dir string, rng *rand.Rand) (string, error) {
	copies, err := filepath.Glob(filepath.Join(dir, "raft", "*.votes"))
	if err != nil || len(copies) == 0 {
		return "", fmt.Errorf("%s has no second copy of the vote: %w", dir, errors.Join(err, fs.ErrNotExist))
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
	r.goesOn(ctx, n)
	return r.damage(ctx, n, f, func(dir string, _ *rand.Rand) (string, error) {
		return change(logFile(dir), func([]byte) []byte { return older })
	})
}

func truncateLog(dir string, rng *rand.Rand) (string, error) {
	return change(logFile(dir), func(b []byte) []byte {
		used := len(bytes.TrimRight(b, "\x00")) // the file grows in steps
		return b[:rng.IntN(used)]
	})
}

// flipAudit damages a segment of the audit chain: what is lost of it is fetched from a peer.
func flipAudit(dir string, rng *rand.Rand) (string, error) { return anyFile(dir, "audit", rng) }

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
	return r.damage(ctx, n, f, func(dir string, rng *rand.Rand) (string, error) { return anyFile(dir, below, rng) })
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
func anyFile(dir, below string, rng *rand.Rand) (string, error) {
	files := filesBelow(dir, below)
	if len(files) == 0 {
		return "", fmt.Errorf("%s has no file below %s: %w", dir, below, fs.ErrNotExist)
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
