package member

import (
	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/store"
)

// openStorage opens the log and the snapshots as grafos server does.
func openStorage(dir, kind string, d cluster.Disk, log hclog.Logger) (*cluster.Storage, error) {
	s, err := store.Open(dir, store.Options{LogOptions: store.LogOptions{
		Kind: store.Kind(kind), Log: log.Named("store"), OnStall: d.Stalled, OnFault: d.Failed,
	}})
	if err != nil {
		return nil, err
	}
	return &cluster.Storage{Log: s.Log, Stable: s.Log, Snapshots: s.Snapshots, Pending: s.Log.Pending, Close: s.Close}, nil
}
