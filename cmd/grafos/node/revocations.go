package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/store/disk"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
	"github.com/grafos/grafos/fsm"
)

// revokedFile is where a scheduler keeps the revocations that it applied, beside its log: a recovery
// from another scheduler's log, which may lack them, has them from there.
const revokedFile = "revoked.json"

// maxRevokedFile bounds it, in bytes.
const maxRevokedFile = 64 << 20

// revocations is what that file holds.
type revocations struct {
	path string
	Of   map[api.CellID]fsm.BarCell `json:"revoked"`
}

// openRevocations reads the file of a data directory; there is none before the first revocation.
func openRevocations(dir string) (*revocations, error) {
	path := filepath.Join(dir, revokedFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return &revocations{path: path, Of: map[api.CellID]fsm.BarCell{}}, nil
	}
	return readRevocations(path)
}

func readRevocations(path string) (*revocations, error) {
	r := &revocations{path: path}
	b, err := ui.ReadBounded(r.path, maxRevokedFile)
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	err = json.Unmarshal(b, r)
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return nil, api.Refuse(api.DigestMismatch, "%s holds no revocations: %v", r.path, err).
			WithHint("take the file of another scheduler, or an older copy of this one, or move it away where this scheduler's log is whole: it is made anew; without it a recovery could bring a revoked cell back")
	}
	return r, nil
}

// check refuses what add does not make.
func (r *revocations) check() error {
	if r.Of == nil {
		return errors.New("it lists none, not even an empty list")
	}
	for cell, b := range r.Of {
		if cell == "" || b.Cell != cell || !b.Again {
			return fmt.Errorf("what it says of cell %q is no revocation of it", cell)
		}
	}
	return nil
}

// add takes what is new, and returns its cells.
func (r *revocations) add(list []fsm.BarCell) []api.CellID {
	var fresh []api.CellID
	for _, b := range list {
		was, known := r.Of[b.Cell]
		more := slices.DeleteFunc(slices.Clone(b.Keys), func(key string) bool { return slices.Contains(was.Keys, key) })
		if known && len(more) == 0 {
			continue
		}
		b.Keys = append(slices.Clone(was.Keys), more...)
		r.Of[b.Cell] = b
		fresh = append(fresh, b.Cell)
	}
	return fresh
}

// list has them by cell.
func (r *revocations) list() []fsm.BarCell {
	list := make([]fsm.BarCell, 0, len(r.Of))
	for _, b := range r.Of {
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b fsm.BarCell) int { return strings.Compare(string(a.Cell), string(b.Cell)) })
	return list
}

func (r *revocations) write() error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode revocations: %w", err)
	}
	return disk.WriteFile(r.path, append(b, '\n'))
}

// knownRevocations are those of several data directories, and of files of other schedulers.
func knownRevocations(dirs, files []string) ([]fsm.BarCell, error) {
	all := &revocations{Of: map[api.CellID]fsm.BarCell{}}
	for _, dir := range dirs {
		r, err := openRevocations(dir)
		if err != nil {
			return nil, err
		}
		all.add(r.list())
	}
	for _, file := range files {
		r, err := readRevocations(file)
		if err != nil {
			return nil, err
		}
		all.add(r.list())
	}
	return all.list(), nil
}

// keepAgain is when revocations that could not be written are written again.
const keepAgain = 5 * time.Second

// shutOut closes the connections of every cell that is revoked as soon as this scheduler has applied
// it, and keeps the revocation.
func (n *scheduler) shutOut(ctx context.Context, known *revocations) {
	owed := false              // something is known that is not in the file
	var retry <-chan time.Time // nil is never
	for ctx.Err() == nil {
		changed := n.machine.Changed(fsm.TopicCells)
		if fresh := known.add(n.machine.View().Revocations("scheduler")); len(fresh) > 0 {
			for _, cell := range fresh {
				if closed := n.conns.Close(cell); closed > 0 {
					n.log.Info("connections of a revoked cell closed", "cell_id", string(cell), "connections", closed)
				}
			}
			owed = true
		}
		if owed {
			err := known.write()
			if owed, retry = err != nil, nil; owed {
				n.log.Error("revocations not kept beside the log", "error", err, "again_in", keepAgain)
				retry = time.After(keepAgain)
			}
		}
		select {
		case <-changed:
		case <-retry:
		case <-ctx.Done():
		}
	}
}
