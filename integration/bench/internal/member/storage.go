package member

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/store"
)

// The log stores.
const (
	Bolt = "boltdb"
	WAL  = "wal"
)

// ErrNotBuilt says that the product does not have yet what is to be measured.
var ErrNotBuilt = errors.New("not built")

// Available returns ErrNotBuilt for a log store that a member cannot be started with.
func Available(logStore string) error {
	if logStore != Bolt {
		return fmt.Errorf("log store %s: %w", logStore, ErrNotBuilt)
	}
	return nil
}

// keepSnapshots is how many snapshots a scheduler keeps.
const keepSnapshots = 2

// openStorage opens the log and the snapshots as grafos server does.
func openStorage(dir, _ string, d cluster.Disk, log hclog.Logger) (*cluster.Storage, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make raft directory: %w", err)
	}
	logs, err := store.OpenLog(filepath.Join(dir, "raft.db"), store.LogOptions{
		Log: log.Named("store"), OnStall: d.Stalled, OnFault: d.Failed,
	})
	if err != nil {
		return nil, fmt.Errorf("open raft log: %w", err)
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, log.Named("snapshot"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshots: %w", err), logs.Close())
	}
	return &cluster.Storage{Log: logs, Stable: logs, Snapshots: snaps, Close: logs.Close}, nil
}
