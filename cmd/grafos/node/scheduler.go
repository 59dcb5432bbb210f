package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/api/console"
	"github.com/grafos/grafos/api/server"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/blob"
	"github.com/grafos/grafos/cluster/control"
	"github.com/grafos/grafos/cluster/gossip"
	"github.com/grafos/grafos/cluster/leader"
	"github.com/grafos/grafos/cluster/peer"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/cluster/store"
	"github.com/grafos/grafos/cluster/wire"
	"github.com/grafos/grafos/fsm"
)

// scheduler is a running scheduler node: the floors of design.md tied together.
type scheduler struct {
	log      hclog.Logger
	recent   *logRing
	metrics  http.Handler
	requests *requestMetrics
	streams  atomic.Int64 // of users, and blocking reads, that are open
	saved    outcome      // of the newest archive
	node     *cluster.Node
	control  *control.Control
	blobs    *blob.Store
	drops    gossip.Drops
	machine  *fsm.Machine
	http     *http.Server
	conns    *server.Connections
	served   chan error
	opened   atomic.Pointer[cluster.Node] // node, for those that run while it is opened

	cancel context.CancelFunc
	// stopping ends streams and blocking reads; drained ends what is left of the requests.
	stopping, drained func()
	wg                sync.WaitGroup
	undo              []func() error
}

// openScheduler starts everything in order; what was opened is closed again when a later
// step fails.
func openScheduler(ctx context.Context, s serverSettings, version string, log hclog.Logger, recent *logRing) (*scheduler, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n := &scheduler{log: log, recent: recent, cancel: cancel, served: make(chan error, 1), conns: server.NewConnections()}
	if err := n.open(ctx, s, version); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *scheduler) open(ctx context.Context, s serverSettings, version string) error {
	material, err := pki.LoadMaterial(s.Material)
	if err != nil {
		return err
	}
	trusted, err := loadTrust(s.BootstrapTrust, material.ClusterID)
	if err != nil {
		return err
	}
	for _, u := range trusted.unknown(providers(s.Providers)) {
		n.log.Warn("bootstrap trust is for a provider that is not configured: no cell joins it before --providers has it",
			"file", s.BootstrapTrust, "provider", string(u.provider), "in", u.where)
	}
	cert, err := ownCertificate(material, s) // before anything is written: the names in it may not be ones
	if err != nil {
		return err
	}
	id, err := cluster.ClaimDir(s.DataDir, material.ClusterID, s.Name)
	if err != nil {
		return err
	}
	release, err := holdDir(s.DataDir)
	if err != nil {
		return err
	}
	n.undo = append(n.undo, release)
	joins, err := cluster.HadData(s.DataDir)
	if err != nil {
		return err
	}
	audit, err := store.OpenAudit(auditDir(s.DataDir), n.log.Named("audit"))
	if err != nil {
		return fmt.Errorf("open audit chain: %w", err)
	}
	n.undo = append(n.undo, audit.Close)
	audit.OnFault(n.fail)

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Bind)
	if err != nil {
		return listens("bind", s.Bind, fmt.Errorf("listen for the API: %w", err))
	}
	n.undo = append(n.undo, func() error { return ignoreClosed(listener.Close()) })

	n.machine = fsm.New(fsm.Options{
		Log: n.log.Named("fsm"), Audit: audit.Append, BeforePersist: audit.Sync,
		Fatal: func(err error) { n.fail(err) },
	})
	sightings := rumor.NewTable(id, time.Now)
	identity := pki.ClientTLS(pki.ClientOptions{
		Cert: cert, Roots: material.Pool(), ClusterID: material.ClusterID, Server: api.RoleScheduler,
	})
	catch := &catchUp{machine: n.machine, audit: audit, log: n.log.Named("catch-up")}
	if err := n.openNode(ctx, s, id, version, material, cert, identity, sightings, catch, joins); err != nil {
		return err
	}
	n.blobs, err = blob.Open(filepath.Join(s.DataDir, "blobs"), blob.Config{
		Peers: blobPeers{n.node}, Quorum: blobPeers{n.node}.Quorum, Log: n.log.Named("blob"),
	})
	if err != nil {
		return fmt.Errorf("open blobs: %w", err)
	}
	n.undo = append(n.undo, n.blobs.Close)

	debug, err := openDebug(ctx, s.DebugBind)
	if err != nil {
		return err
	}
	n.undo = append(n.undo, debug.Close)
	ends, err := certificateEnds(material, cert)
	if err != nil {
		return err
	}
	n.requests = newRequestMetrics()
	n.metrics = newMetrics(measured{
		node: n.node, machine: n.machine, drops: &n.drops, dir: s.DataDir, requests: n.requests, open: &n.streams,
		sessions: func() int { return n.control.Sessions() }, saved: &n.saved, ends: ends,
	})
	lead := n.openControl(s, version, id, material, trusted, audit, sightings)
	handler, err := n.handler(ctx, s, material, identity)
	if err != nil {
		return err
	}
	n.wg.Go(func() { n.node.Lead(ctx, lead.Run) })
	n.wg.Go(func() { n.sweep(ctx) })
	n.wg.Go(func() { n.control.KeepConformant(ctx) })
	known, err := openRevocations(s.DataDir)
	if err != nil {
		return err
	}
	n.wg.Go(func() { n.shutOut(ctx, known) })
	if keep := s.snapshotSettings; keep.Every > 0 {
		plan := schedule{dir: keep.Dir, every: time.Duration(keep.Every), keep: keep.Keep, result: &n.saved, log: n.log.Named("snapshot")}
		n.wg.Go(func() { plan.run(ctx, n.node) })
	}
	n.wg.Go(func() { catch.run(ctx, n.node, n.blobs) })
	n.serve(ctx, listener, handler, apiTLS(material, cert, n.log))
	return nil
}

func (n *scheduler) openNode(
	ctx context.Context, s serverSettings, id api.NodeID, version string,
	material *pki.Material, cert func() (*tls.Certificate, error), identity *tls.Config, sightings *rumor.Table,
	catch *catchUp, joins bool,
) error {
	raftServer := pki.ServerTLS(pki.ServerOptions{
		Cert: cert, Roots: material.Pool(), ClusterID: material.ClusterID,
		Clients: tls.RequireAndVerifyClientCert, Roles: []api.Role{api.RoleScheduler}, Log: n.log.Named("raft-tls"),
	})
	node, err := cluster.Open(ctx, cluster.Config{
		Node: id, ClusterID: material.ClusterID, RaftAddr: s.RaftAdvertise, URL: "https://" + s.Advertise,
		Expect: s.BootstrapExpect, Version: version, Machine: n.machine, Log: n.log, SnapshotBytes: s.snapshotBytes,
		Heartbeat: time.Duration(s.RaftHeartbeat), Election: time.Duration(s.RaftElection), Lease: time.Duration(s.RaftLease),
		Stable: time.Duration(s.Stable), Behind: catch.Behind, Joins: joins, Forked: catch.forked,
		Storage: func(d cluster.Disk) (*cluster.Storage, error) {
			return openStorage(s.DataDir, store.Kind(s.LogStore), d, n.log)
		},
		Link: func() (peer.Link, error) {
			link, err := wire.Open(wire.Config{
				Node: id, Bind: s.RaftBind, Advertise: s.RaftAdvertise, Server: raftServer, Client: identity, Log: n.log.Named("transport"),
			})
			if err != nil {
				return nil, listens("raft-bind", s.RaftBind, err)
			}
			return link, nil
		},
		Gossip: func(ctx context.Context, m rumor.Meta) (cluster.Gossip, error) {
			g, err := gossip.Open(ctx, gossip.Config{
				Node: id, ClusterID: material.ClusterID, Bind: s.GossipBind, Advertise: s.GossipAdvertise,
				Key: material.GossipKey, Join: s.Join, Meta: m, Table: sightings, Drops: &n.drops,
				Interval: min(time.Duration(s.Heartbeat), time.Second), Log: n.log.Named("gossip"),
			})
			if err != nil {
				return nil, listens("gossip-bind", s.GossipBind, err)
			}
			return g, nil
		},
		Dial: func(url string) (cluster.Peer, error) {
			return client.NewPeer(client.Config{URLs: []string{url}, TLS: identity, Timeout: 10 * time.Second, Log: n.log.Named("peer")})
		},
	})
	if err != nil {
		return err
	}
	n.node = node
	n.opened.Store(node)
	n.undo = append(n.undo, node.Close)
	return nil
}

func (n *scheduler) openControl(
	s serverSettings, version string, id api.NodeID, material *pki.Material, trusted *trust, audit *store.Audit, sightings *rumor.Table,
) *leader.Leader {
	var services *control.Control
	lead := leader.New(leader.Config{
		Node: n.node, Machine: n.machine, ClusterID: material.ClusterID, Providers: providers(s.Providers),
		Sightings: sightings, Ask: func(ctx context.Context) { services.AskPeers(ctx) },
		Heartbeat: time.Duration(s.Heartbeat), Limit: time.Duration(s.HeartbeatLimit), Warmup: time.Duration(s.Warmup), Log: n.log.Named("leader"),
	})
	services = control.New(control.Config{
		Node: id, ClusterID: material.ClusterID, Machine: n.machine, Cluster: n.node, Decider: lead,
		Blobs: n.blobs, Audit: audit, Archives: archives{n.node},
		Process:  func() api.ProcessReport { return processReport(s, version, n.recent, n.metrics) },
		Material: material, Issuers: trusted.verifier(), Evidence: trusted.evidence, Sightings: sightings,
		Heartbeat: time.Duration(s.Heartbeat), Limit: time.Duration(s.HeartbeatLimit), Warmup: time.Duration(s.Warmup), Log: n.log.Named("control"),
	})
	n.control = services
	return lead
}

func (n *scheduler) handler(ctx context.Context, s serverSettings, material *pki.Material, identity *tls.Config) (http.Handler, error) {
	stopping, stop := context.WithCancel(ctx)
	n.stopping = stop
	transport := &http.Transport{
		TLSClientConfig: identity, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64,
		IdleConnTimeout: 90 * time.Second, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
	}
	n.undo = append(n.undo, func() error { transport.CloseIdleConnections(); return nil })
	h, err := server.New(server.Config{
		Services: n.control, Agent: n.control, Peers: n.control,
		Leader: place{n.node, transport}, Auth: auth{material, n.control}, Info: n.node.State, Head: n.head, Standing: n.node.Standing,
		Console: console.Handler(), Metrics: n.metrics, Observe: n.requests.observe, Open: &n.streams, CAPEM: material.CAPEM,
		MaxSessions: s.MaxSessions, Stopping: stopping, Log: n.log.Named("api"),
	})
	if err != nil {
		return nil, fmt.Errorf("make the API: %w", err)
	}
	return h, nil
}

// head is what every answer tells of how fresh it is.
func (n *scheduler) head() server.Head {
	st := server.Head{Node: n.node.ID(), Index: n.machine.View().Index(), Leader: n.node.Leader(), LastContact: n.node.Age()}
	return st
}

func apiTLS(material *pki.Material, cert func() (*tls.Certificate, error), log hclog.Logger) *tls.Config {
	return pki.ServerTLS(pki.ServerOptions{
		Cert: cert, Roots: material.Pool(), ClusterID: material.ClusterID, Clients: tls.VerifyClientCertIfGiven,
		NextProtos: []string{"h2", "http/1.1"}, Log: log.Named("api-tls"),
	})
}

func (n *scheduler) serve(ctx context.Context, listener net.Listener, h http.Handler, conf *tls.Config) {
	n.http = server.HTTPServer(h, conf, n.conns, n.log.Named("http"))
	// A stop lets the requests end that are under way: the next leader answers them.
	base, drained := context.WithCancel(context.WithoutCancel(ctx))
	n.drained = drained
	n.http.BaseContext = func(net.Listener) context.Context { return base }
	n.wg.Go(func() {
		err := n.http.ServeTLS(server.Listener(listener), "", "")
		if !errors.Is(err, http.ErrServerClosed) {
			n.served <- fmt.Errorf("serve the API: %w", err)
		}
	})
	n.log.Info("scheduler started", "api", listener.Addr().String(), "cluster", n.node.State().ClusterID)
}

func (n *scheduler) fail(err error) {
	if node := n.opened.Load(); node != nil {
		node.Fail(err)
		return
	}
	select {
	case n.served <- err:
	default:
	}
}

// wait returns when the node was asked to stop, or why it must.
func (n *scheduler) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		n.log.Info("stopping")
		return nil
	case err := <-n.served:
		return err
	case <-n.node.Failed():
		n.log.Error("this scheduler must stop", "error", n.node.Failure())
		return n.node.Failure()
	}
}

// stopTime bounds how long requests under way may take at a stop.
const stopTime = 3 * time.Second

// close hands the lead over, lets the requests under way be answered by the next leader, and
// ends everything.
func (n *scheduler) close() error {
	var errs []error
	if n.node != nil {
		if err := n.node.GiveAway(); err != nil {
			n.log.Warn("leadership not handed over", "error", err)
		}
	}
	if n.http != nil {
		n.stopping()
		if n.failed() {
			n.drained() // it answers nothing any more
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if err := n.http.Shutdown(ctx); err != nil {
			errs = append(errs, n.http.Close())
		}
		n.drained()
	}
	n.cancel()
	n.wg.Wait()
	for _, undo := range slices.Backward(n.undo) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}

// failed reports whether the node stops for a reason that it cannot mend.
func (n *scheduler) failed() bool {
	select {
	case <-n.node.Failed():
		return true
	default:
		return false
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// ownCertificate issues this scheduler's certificate from the material: a day's work of
// the next start, so it is never written to disk.
func ownCertificate(material *pki.Material, s serverSettings) (func() (*tls.Certificate, error), error) {
	var names []string
	var ips []net.IP
	for _, a := range []string{s.Advertise, s.RaftAdvertise, s.GossipAdvertise} {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			return nil, api.Refuse(api.InvalidArgument, "address %q is not host:port", a)
		}
		if ip := net.ParseIP(host); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, host)
		}
	}
	return schedulerCertificate(material, s.Name, append(names, "localhost"), append(ips, net.IPv4(127, 0, 0, 1)))
}

func schedulerCertificate(material *pki.Material, name string, names []string, ips []net.IP) (func() (*tls.Certificate, error), error) {
	cred, err := material.Issue(pki.CertRequest{
		Identity: pki.Identity{ClusterID: material.ClusterID, Role: api.RoleScheduler, Name: name}, DNSNames: names, IPs: ips,
	})
	if err != nil {
		return nil, fmt.Errorf("issue this scheduler's certificate: %w", err)
	}
	cert, err := cred.TLS()
	if err != nil {
		return nil, fmt.Errorf("load this scheduler's certificate: %w", err)
	}
	return func() (*tls.Certificate, error) { return &cert, nil }, nil
}

// providers are the well-known names, and the configured ones switched on.
func providers(enabled []string) []api.Provider {
	known := map[api.ProviderID]api.Provider{}
	order := []api.ProviderID{"aws", "azure", "gcp", "local"}
	for _, id := range order {
		known[id] = api.Provider{ID: id, Ownership: api.OwnedByCustomer}
	}
	for _, e := range enabled {
		name, kind, _ := strings.Cut(e, "=")
		p := api.Provider{ID: api.ProviderID(name), Enabled: true, Ownership: api.OwnedByCustomer}
		if kind == string(api.OwnedManaged) {
			p.Ownership = api.OwnedManaged
		}
		if _, ok := known[p.ID]; !ok {
			order = append(order, p.ID)
		}
		known[p.ID] = p
	}
	list := make([]api.Provider, 0, len(order))
	for _, id := range order {
		list = append(list, known[id])
	}
	return list
}
