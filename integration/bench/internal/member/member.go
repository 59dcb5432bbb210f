// Package member is a scheduler without its API, as a process of its own: a Raft node with
// its real log, transport and gossip, the leader's planner, and a load inside the leader. It
// measures the way of a command from the planner to the applied state.
package member

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/gossip"
	"github.com/grafos/grafos/cluster/leader"
	"github.com/grafos/grafos/cluster/peer"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/cluster/store"
	"github.com/grafos/grafos/cluster/wire"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/integration/bench/internal/child"
)

// gcPercent is that of grafos server.
const gcPercent = 200

type settings struct {
	name, dir, material, raft, gossip, join, store string
	plain                                          bool
}

// Run is the process. It ends when its input does or ctx has, and hands leadership over first.
func Run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("member", flag.ContinueOnError)
	flags.StringVar(&s.name, "name", "", "the member's name")
	flags.StringVar(&s.dir, "dir", "", "folder of its data")
	flags.StringVar(&s.material, "material", "", "folder of the cluster's material")
	flags.StringVar(&s.raft, "raft", "", "host:port of Raft")
	flags.StringVar(&s.gossip, "gossip", "", "host:port of the gossip")
	flags.StringVar(&s.join, "join", "", "gossip addresses of the three members")
	flags.StringVar(&s.store, "log-store", string(store.BoltDB), "log store: boltdb or wal")
	flags.BoolVar(&s.plain, "plain", false, "Raft without TLS")
	if err := flags.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(gcPercent)
	m, err := open(ctx, s, hclog.New(&hclog.LoggerOptions{Name: s.name, Level: hclog.Warn, Output: errOut}))
	if err != nil {
		return err
	}
	return errors.Join(child.Serve(ctx, in, out, m.do), m.close())
}

// member is the process's node with its leader.
type member struct {
	node   *cluster.Node
	lead   *leader.Leader
	audit  *store.Audit
	cancel context.CancelFunc
	led    chan struct{} // closed when the role has ended
}

// open ties the floors together as grafos server does, without those above the leader.
func open(ctx context.Context, s settings, log hclog.Logger) (*member, error) {
	material, err := pki.LoadMaterial(s.material)
	if err != nil {
		return nil, err
	}
	id, err := cluster.ClaimDir(s.dir, material.ClusterID, s.name)
	if err != nil {
		return nil, err
	}
	audit, err := store.OpenAudit(filepath.Join(s.dir, "audit"), log.Named("audit"))
	if err != nil {
		return nil, err
	}
	var node *cluster.Node
	machine := fsm.New(fsm.Options{
		Log: log.Named("fsm"), Audit: audit.Append, BeforePersist: audit.Sync,
		Fatal: func(err error) { node.Fail(err) },
	})
	sightings := rumor.NewTable(id, time.Now)
	conf, err := config(s, material, id, sightings, log)
	if err != nil {
		return nil, errors.Join(err, audit.Close())
	}
	conf.Machine = machine
	node, err = cluster.Open(ctx, conf)
	if err != nil {
		return nil, errors.Join(err, audit.Close())
	}
	m := &member{node: node, audit: audit, led: make(chan struct{})}
	m.lead = leader.New(leader.Config{
		Node: node, Machine: machine, ClusterID: material.ClusterID, Sightings: sightings,
		Ask: func(context.Context) {}, Heartbeat: 5 * time.Second, Limit: 15 * time.Second, Warmup: 30 * time.Second,
		Log: log.Named("leader"),
	})
	ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(m.led)
		node.Lead(ctx, m.lead.Run)
	}()
	return m, nil
}

func config(s settings, material *pki.Material, id api.NodeID, sightings *rumor.Table, log hclog.Logger) (cluster.Config, error) {
	cred, err := material.Issue(pki.CertRequest{
		Identity: pki.Identity{ClusterID: material.ClusterID, Role: api.RoleScheduler, Name: s.name},
		DNSNames: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	if err != nil {
		return cluster.Config{}, fmt.Errorf("issue the certificate: %w", err)
	}
	cert, err := cred.TLS()
	if err != nil {
		return cluster.Config{}, fmt.Errorf("load the certificate: %w", err)
	}
	own := func() (*tls.Certificate, error) { return &cert, nil }
	identity := pki.ClientTLS(pki.ClientOptions{
		Cert: own, Roots: material.Pool(), ClusterID: material.ClusterID, Server: api.RoleScheduler,
	})
	raftServer := pki.ServerTLS(pki.ServerOptions{
		Cert: own, Roots: material.Pool(), ClusterID: material.ClusterID,
		Clients: tls.RequireAndVerifyClientCert, Roles: []api.Role{api.RoleScheduler}, Log: log.Named("raft-tls"),
	})
	return cluster.Config{
		Node: id, ClusterID: material.ClusterID, RaftAddr: s.raft, URL: "https://127.0.0.1:1", Expect: 3, Version: "bench", Log: log,
		Storage: func(d cluster.Disk) (*cluster.Storage, error) {
			return openStorage(filepath.Join(s.dir, "raft"), s.store, d, log)
		},
		Link: func() (peer.Link, error) {
			if s.plain {
				return openPlain(s.raft, log.Named("transport"))
			}
			return wire.Open(wire.Config{
				Node: id, Bind: s.raft, Advertise: s.raft, Server: raftServer, Client: identity, Log: log.Named("transport"),
			})
		},
		Gossip: func(ctx context.Context, m rumor.Meta) (cluster.Gossip, error) {
			return gossip.Open(ctx, gossip.Config{
				Node: id, ClusterID: material.ClusterID, Bind: s.gossip, Advertise: s.gossip,
				Key: material.GossipKey, Join: strings.Split(s.join, ","), Meta: m, Table: sightings, Log: log.Named("gossip"),
			})
		},
		Dial: func(url string) (cluster.Peer, error) { // nobody asks for a verified read
			return client.NewPeer(client.Config{URLs: []string{url}, TLS: identity, Log: log.Named("peer")})
		},
	}, nil
}

func (m *member) close() error {
	err := m.node.GiveAway()
	m.cancel()
	<-m.led
	return errors.Join(err, m.node.Close(), m.audit.Close())
}
