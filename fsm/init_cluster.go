package fsm

import "github.com/grafos/grafos/api"

// InitCluster is a command.
type InitCluster struct {
	ClusterID string         `json:"cluster_id"`
	Providers []api.Provider `json:"providers"`
}

// Kind returns KindInitCluster.
func (InitCluster) Kind() Kind { return KindInitCluster }

func (c InitCluster) apply(*State) (Result, *api.Error) { return Result{}, nil }
