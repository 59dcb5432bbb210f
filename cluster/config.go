package cluster

import (
	"crypto/tls"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/gossip"
	"github.com/grafos/grafos/fsm"
)

// Config is what a node needs. Every field without a default is required.
type Config struct {
	// Node is the stable name of this scheduler. It is not an address.
	Node      api.NodeID
	ClusterID string
	// Dir holds the Raft log and the snapshots.
	Dir string
	// RaftBind and RaftAdvertise are host:port; peers dial the second.
	RaftBind      string
	RaftAdvertise string
	// URL is the HTTPS address at which clients and the other schedulers reach this node.
	URL string
	// Expect is with how many schedulers a new cluster forms: 1, 3 or 5.
	Expect  int
	Version string

	// ServerTLS admits schedulers only, on the Raft port. RaftTLS and PeerTLS prove this one
	// there and to the other schedulers' APIs.
	ServerTLS *tls.Config
	RaftTLS   *tls.Config
	PeerTLS   *tls.Config
	Machine   *fsm.Machine

	// GossipBind, GossipAdvertise, GossipKey and Join are memberlist's.
	GossipBind      string
	GossipAdvertise string
	GossipKey       []byte
	Join            []string
	// Sightings is what this node and the others saw of the cells.
	Sightings *gossip.Table
	// GossipInterval is how often the sightings travel; 0 is one second.
	GossipInterval time.Duration

	// Heartbeat, Election and Lease are Raft's timers. 500, 500 and 400 ms are the shortest
	// that kept their leader on two busy cores (docs/performance.md).
	Heartbeat, Election, Lease time.Duration
	// SnapshotBytes and SnapshotEvery trigger a snapshot; whichever comes first.
	SnapshotBytes int64
	SnapshotEvery time.Duration

	Log hclog.Logger
}

func (c Config) withDefaults() Config {
	c.Heartbeat = orDefault(c.Heartbeat, 500*time.Millisecond)
	c.Election = orDefault(c.Election, 500*time.Millisecond)
	c.Lease = orDefault(c.Lease, 400*time.Millisecond)
	c.SnapshotEvery = orDefault(c.SnapshotEvery, 10*time.Minute)
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = 64 << 20
	}
	return c
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// Validate refuses what cannot work, naming the field and its value.
func (c Config) Validate() error {
	if err := api.CheckName("node name", string(c.Node)); err != nil {
		return err
	}
	switch c.Expect {
	case 1, 3, 5:
	default:
		return api.Refuse(api.InvalidArgument,
			"bootstrap-expect is %d: a cluster forms with 1, 3 or 5 schedulers, since an even number tolerates no more failures than one fewer", c.Expect)
	}
	if c.Lease > c.Heartbeat {
		return api.Refuse(api.InvalidArgument, "the leader lease %s is longer than the heartbeat timeout %s", c.Lease, c.Heartbeat)
	}
	return nil
}
