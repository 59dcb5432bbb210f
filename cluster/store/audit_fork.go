package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/store/disk"
)

// A recovery or a restore takes the cluster back to an earlier state: its chain goes on from
// there, and what is kept here may go on otherwise. The cluster epoch tells the two apart.
// What was kept is moved aside, whole, and what the new chain shares with it is taken from
// there: a page is proved by the record after it, wherever it comes from.

// epochFile says of which cluster epoch the chain in a directory is.
const epochFile = "epoch"

// Settle says that the chain that is kept is that of a cluster epoch.
func (a *Audit) Settle(epoch uint64) error {
	return disk.WriteFile(filepath.Join(a.dir, epochFile), []byte(strconv.FormatUint(epoch, 10)+"\n"))
}

// Fork says that the state is of a cluster epoch now. Where the chain that is kept is of an
// earlier one, it is set aside: everything is Missing then, and Recall takes from it what the
// new chain shares with it.
func (a *Audit) Fork(epoch uint64) error {
	a.syncMu.Lock()
	defer a.syncMu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	was, err := readEpoch(a.dir)
	if err != nil || was >= epoch {
		return err
	}
	if len(a.segs) == 0 {
		return a.Settle(epoch)
	}
	if err := a.endForFork(); err != nil {
		return a.failed(err)
	}
	aside := fmt.Sprintf("%s%s%d", a.dir, forkInfix, was)
	if err := os.RemoveAll(aside); err != nil { // a crash between the rename and the epoch
		return a.failed(disk.Explain("remove", aside, err))
	}
	if err := os.Rename(a.dir, aside); err != nil {
		return a.failed(disk.Explain("set aside", a.dir, err))
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return a.failed(disk.Explain("make", a.dir, err))
	}
	a.segs, a.cached, a.newDir = nil, cachedScan{}, true
	if err := errors.Join(a.Settle(epoch), disk.SyncDir(filepath.Dir(a.dir))); err != nil {
		return a.failed(err)
	}
	a.log.Warn("the audit chain goes on from an earlier record: what was kept is set aside", "path", aside, "cluster_epoch", epoch)
	return a.openForks()
}

// forkInfix is between a directory's name and the epoch of what was set aside of it.
const forkInfix = ".epoch-"

// endForFork makes what is kept durable and closes it.
func (a *Audit) endForFork() error {
	var errs []error
	if a.tail != nil {
		errs = append(errs, a.tail.buf.Flush(), a.tail.f.Sync(), a.tail.f.Close())
		a.tail = nil
	}
	for _, f := range a.retired {
		errs = append(errs, f.Sync(), f.Close())
	}
	a.retired = nil
	return disk.Explain("close audit segments", a.dir, errors.Join(errs...))
}

func readEpoch(dir string) (uint64, error) {
	path := filepath.Join(dir, epochFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	epoch, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, &CorruptError{File: path, Why: err.Error()}
	}
	return epoch, nil
}

// maxForks bounds the chains that were set aside and are looked into. An older one is of use only while
// none of those after it had caught up with what it shares with the chain.
const maxForks = 8

// openForks finds the newest chains that were set aside. They are read only; one that cannot be
// read is as if it were not there.
func (a *Audit) openForks() error {
	names, err := filepath.Glob(a.dir + forkInfix + "*")
	if err != nil {
		return fmt.Errorf("list audit chains: %w", err)
	}
	aside := map[uint64]string{}
	for _, name := range names {
		if epoch, err := strconv.ParseUint(strings.TrimPrefix(name, a.dir+forkInfix), 10, 64); err == nil {
			aside[epoch] = name
		}
	}
	a.forks = nil
	for _, epoch := range slices.Backward(slices.Sorted(maps.Keys(aside))) {
		if len(a.forks) == maxForks {
			break
		}
		fork, err := OpenAudit(aside[epoch], a.log)
		if err != nil {
			a.log.Warn("the audit chain that was set aside cannot be read", "path", aside[epoch], "error", err)
			continue
		}
		a.forks = append(a.forks, fork)
	}
	return nil
}

// Recall takes the newest page that is missing from what was set aside, where the chain goes
// through it, and reports whether it did.
func (a *Audit) Recall() (bool, error) {
	a.mu.Lock()
	forks := a.forks
	from, to, after, ok := a.newestGap()
	var want string
	if ok {
		want = a.segs[after].prevHash
	}
	a.mu.Unlock()
	if !ok {
		return false, nil
	}
	for _, fork := range forks {
		recs, err := fork.laterPart(from, to)
		if err != nil || len(recs) == 0 || recs[len(recs)-1].Sequence != to || recs[len(recs)-1].Hash != want {
			continue // what cannot be read there is as if it were not there
		}
		if err := a.Backfill(recs); err != nil {
			return false, err
		}
		return true, nil
	}
	return false, nil
}

// laterPart returns records from to to, those behind the last gap where there is one: a chain that was
// set aside before it had caught up holds no more.
func (a *Audit) laterPart(from, to uint64) ([]api.AuditRecord, error) {
	for {
		recs, _, err := a.Read(api.AuditFilter{From: from, To: to, Limit: MaxBackfill})
		gap, is := errors.AsType[*MissingError](err)
		if !is || gap.To >= to {
			return recs, err
		}
		from = gap.To + 1
	}
}
