package node

import (
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

// openStorage opens the Raft log and the snapshots of a scheduler under dir.
func openStorage(dir string, kind store.Kind, d cluster.Disk, log hclog.Logger) (*cluster.Storage, error) {
	s, err := store.Open(dir, store.Options{LogOptions: store.LogOptions{
		Kind: kind, Log: log.Named("store"), OnStall: d.Stalled, OnFault: d.Failed,
	}})
	if err != nil {
		return nil, err
	}
	export := func(id string, w io.Writer) error {
		_, err := s.Snapshots.Export(id, w)
		return err
	}
	return &cluster.Storage{Log: s.Log, Stable: s.Log, Snapshots: s.Snapshots, Export: export, Pending: s.Log.Pending, Close: s.Close}, nil
}
