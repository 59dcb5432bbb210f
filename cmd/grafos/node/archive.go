package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/control"
	"github.com/grafos/grafos/cluster/store/disk"
	"github.com/grafos/grafos/cluster/store/snap"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// archives are the snapshots of a node, as archives.
type archives struct{ *cluster.Node }

// RestoreArchive reads an archive, which proves itself on the way, and puts its state in place.
func (a archives) RestoreArchive(ctx context.Context, archive io.Reader, o control.RestoreOrder) (*api.RestoreReport, error) {
	info, state, err := snap.ReadArchive(archive, "the archive")
	if err == nil {
		var report *api.RestoreReport
		if report, err = a.Restore(ctx, cluster.Restore{
			ID: o.ID, Digest: info.SHA256, Actor: o.Actor, Reason: o.Reason, DryRun: o.DryRun, Index: info.Index, Term: info.Term, State: state,
		}); err == nil {
			return report, nil
		}
	}
	if damage, is := errors.AsType[*disk.CorruptError](err); is {
		return nil, api.Refuse(api.DigestMismatch, "%v: nothing was changed", damage)
	}
	return nil, err
}

// writeArchive writes what r holds to a file, which appears under its name whole, verified and
// durable, or not at all.
func writeArchive(path string, r io.Reader) (snap.Info, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return snap.Info{}, ui.FileError(fmt.Errorf("write snapshot %s: %w", path, err))
	}
	tmp := f.Name()
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return snap.Info{}, errors.Join(fmt.Errorf("write snapshot: %w", err), os.Remove(tmp))
	}
	info, err := snap.Verify(tmp)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return snap.Info{}, errors.Join(ui.FileError(fmt.Errorf("write snapshot %s: %w", path, err)), os.Remove(tmp))
	}
	return info, disk.SyncDir(filepath.Dir(path))
}

const (
	archiveSuffix = ".grafsnap"
	// archiveLook is how often a leader looks whether an archive is due.
	archiveLook = time.Second
)

// saver is what a schedule needs of its node.
type saver interface {
	Leads() bool
	SaveSnapshot(ctx context.Context, stale bool) (io.ReadCloser, error)
}

// schedule is when a leader takes archives by itself, and where it keeps them.
type schedule struct {
	dir    string
	every  time.Duration
	keep   int
	result *outcome // of the newest
	log    hclog.Logger
}

// run takes them until ctx ends. Each scheduler has a directory of its own: a new leader
// without a recent archive takes one at once.
func (s schedule) run(ctx context.Context, node saver) {
	failed := time.Time{}
	every(ctx, archiveLook, func() {
		if !node.Leads() || time.Since(failed) < min(s.every, time.Minute) {
			return
		}
		if err := s.takeIfDue(ctx, node); err != nil {
			failed = time.Now()
			s.log.Error("scheduled snapshot", "error", err)
		}
	})
}

func (s schedule) takeIfDue(ctx context.Context, node saver) error {
	names, err := s.list()
	if err != nil {
		return err
	}
	if len(names) > 0 {
		info, err := os.Stat(names[len(names)-1])
		if err != nil {
			return fmt.Errorf("list scheduled snapshots: %w", err)
		}
		if time.Since(info.ModTime()) < s.every {
			return nil
		}
	}
	names, err = s.take(ctx, node, names)
	if s.result.set(err); err != nil {
		return err
	}
	return s.prune(names)
}

// take takes one and returns names with its own.
func (s schedule) take(ctx context.Context, node saver, names []string) ([]string, error) {
	r, err := node.SaveSnapshot(ctx, false)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(s.dir, "grafos-"+time.Now().UTC().Format("20060102T150405.000Z")+archiveSuffix)
	info, err := writeArchive(name, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	s.log.Info("scheduled snapshot taken", "path", name, "index", info.Index, "bytes", info.Size)
	return append(names, name), nil
}

// list returns the archives, oldest first: their names begin with their time.
func (s schedule) list() ([]string, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, disk.Explain("make", s.dir, err)
	}
	names, err := filepath.Glob(filepath.Join(s.dir, "grafos-*"+archiveSuffix))
	if err != nil {
		return nil, fmt.Errorf("list scheduled snapshots: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

func (s schedule) prune(names []string) error {
	for len(names) > s.keep {
		if err := os.Remove(names[0]); err != nil {
			return fmt.Errorf("remove an old snapshot: %w", err)
		}
		names = names[1:]
	}
	return nil
}
