package node

import (
	"errors"
	"io"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/store"
)

// raftDir is where a scheduler keeps its Raft log and snapshots.
func raftDir(dataDir string) string { return filepath.Join(dataDir, "raft") }

// auditDir is where it keeps its copy of the audit chain.
func auditDir(dataDir string) string { return filepath.Join(dataDir, "audit") }

// openStorage opens the Raft log and the snapshots of a scheduler, in the directory that belongs to
// its id.
func openStorage(dataDir string, kind store.Kind, d cluster.Disk, log hclog.Logger) (*cluster.Storage, error) {
	id, err := cluster.StorageID(dataDir)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(raftDir(dataDir), store.Options{ID: id, LogOptions: store.LogOptions{
		Kind: kind, Log: log.Named("store"), OnStall: d.Stalled, OnFault: d.Failed,
	}})
	if err != nil {
		return nil, err
	}
	if id == "" {
		if err := cluster.KeepStorageID(dataDir, s.ID); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	export := func(id string, w io.Writer) error {
		_, err := s.Snapshots.Export(id, w)
		return err
	}
	return &cluster.Storage{Log: s.Log, Stable: s.Log, Snapshots: s.Snapshots, Export: export, Pending: s.Log.Pending, Close: s.Close}, nil
}
