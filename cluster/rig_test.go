package cluster

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster/gossip"
	"github.com/grafos/grafos/cluster/peer"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/cluster/store"
	"github.com/grafos/grafos/cluster/wire"
	"github.com/grafos/grafos/fsm"
)

// rig is a cluster on loopback: real logs, real TLS, and of the API only what one scheduler
// asks another for a verified read.
type rig struct {
	t        *testing.T
	material *pki.Material
	expect   int
	seats    []*seat
	tune     []func(*Config)
}

// seat is where a node lives: what stays the same when it is opened again.
type seat struct {
	rig                  *rig
	dir, raft, talk, api string
	name                 api.NodeID
	cert                 tls.Certificate
	node                 *Node
	machine              *fsm.Machine
	http                 *http.Server
	cancel               context.CancelFunc
	led                  chan struct{} // closed when the role has ended
	serves               atomic.Pointer[Node]
	joins                bool
	tails                tails
	log                  atomic.Pointer[stallLog]
	behind               atomic.Int64 // what it says that it still has to fetch
	asked                atomic.Int64 // how often others asked it for an index
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOf(t, 3)
}

// newRigOf is newRig of n schedulers, whose settings tune changes.
func newRigOf(t *testing.T, n int, tune ...func(*Config)) *rig {
	t.Helper()
	material, err := pki.InitMaterial(filepath.Join(t.TempDir(), "material"), pki.InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, material: material, expect: n, tune: tune}
	for i := range n {
		r.seat(fmt.Sprintf("s%d", i+1))
	}
	for _, s := range r.seats {
		s.open()
	}
	t.Cleanup(func() {
		for _, s := range r.seats {
			s.close()
		}
	})
	return r
}

// seat adds one that is not open.
func (r *rig) seat(name string) *seat {
	r.t.Helper()
	s := &seat{
		rig: r, name: api.NodeID(name), dir: r.t.TempDir(), raft: freePort(r.t), talk: freePort(r.t), api: freePort(r.t),
		cert: r.issue(pki.Identity{Role: api.RoleScheduler, Name: name}),
	}
	r.seats = append(r.seats, s)
	return s
}

// ports counts those given out, from below what the kernel gives to outgoing connections: an
// address must be free when a node comes back to it.
var ports atomic.Int64

// freePort returns an address of loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+(int64(os.Getpid())*37+ports.Add(1))%12000)
		l, err := net.Listen("tcp", addr)
		if err == nil {
			closeQuietly(l)
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

func (r *rig) issue(id pki.Identity) tls.Certificate {
	r.t.Helper()
	id.ClusterID = r.material.ClusterID
	ask := pki.CertRequest{Identity: id}
	if id.Role == api.RoleScheduler || id.Role == api.RoleCell {
		ask.IPs = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	cred, err := r.material.Issue(ask)
	if err != nil {
		r.t.Fatal(err)
	}
	cert, err := cred.TLS()
	if err != nil {
		r.t.Fatal(err)
	}
	return cert
}

func (r *rig) serverTLS(cert tls.Certificate) *tls.Config {
	return pki.ServerTLS(pki.ServerOptions{
		Cert: func() (*tls.Certificate, error) { return &cert, nil }, Roots: r.material.Pool(), ClusterID: r.material.ClusterID,
		Clients: tls.RequireAndVerifyClientCert, Roles: []api.Role{api.RoleScheduler}, Log: hclog.NewNullLogger(),
	})
}

func (r *rig) clientTLS(cert tls.Certificate) *tls.Config {
	return pki.ClientTLS(pki.ClientOptions{
		Cert: func() (*tls.Certificate, error) { return &cert, nil }, Roots: r.material.Pool(), ClusterID: r.material.ClusterID,
		Server: api.RoleScheduler,
	})
}

func (s *seat) config() Config {
	var join []string
	for _, other := range s.rig.seats {
		join = append(join, other.talk)
	}
	s.machine = fsm.New(fsm.Options{Log: hclog.NewNullLogger()})
	table := rumor.NewTable(s.name, time.Now)
	return Config{
		Node: s.name, ClusterID: s.rig.material.ClusterID, RaftAddr: s.raft,
		URL: "https://" + s.api, Expect: s.rig.expect, Version: "test", Machine: s.machine, Log: hclog.NewNullLogger(),
		Heartbeat: 300 * time.Millisecond, Election: 300 * time.Millisecond, Lease: 250 * time.Millisecond,
		Stable: time.Second, Joins: s.joins, Forked: s.forked, Behind: func() int { return int(s.behind.Load()) },
		Storage: func(d Disk) (*Storage, error) {
			kept, err := store.Open(s.dir, store.Options{LogOptions: store.LogOptions{
				Log: hclog.NewNullLogger(), OnStall: d.Stalled, OnFault: d.Failed,
			}})
			if err != nil {
				return nil, err
			}
			log := &stallLog{LogStore: kept.Log, told: d.Stalled}
			s.log.Store(log)
			return &Storage{Log: log, Stable: kept.Log, Snapshots: kept.Snapshots, Pending: kept.Log.Pending, Close: kept.Close}, nil
		},
		Link: func() (peer.Link, error) {
			return wire.Open(wire.Config{
				Node: s.name, Bind: s.raft, Advertise: s.raft, Server: s.rig.serverTLS(s.cert), Client: s.rig.clientTLS(s.cert), Log: hclog.NewNullLogger(),
			})
		},
		Gossip: func(ctx context.Context, m rumor.Meta) (Gossip, error) {
			return gossip.Open(ctx, gossip.Config{
				Node: s.name, ClusterID: s.rig.material.ClusterID, Bind: s.talk, Advertise: s.talk, Key: s.rig.material.GossipKey,
				Join: join, Meta: m, Table: table, Interval: 100 * time.Millisecond, Log: hclog.NewNullLogger(),
			})
		},
		Dial: func(url string) (Peer, error) {
			return client.NewPeer(client.Config{URLs: []string{url}, TLS: s.rig.clientTLS(s.cert), Timeout: 10 * time.Second, Log: hclog.NewNullLogger()})
		},
	}
}

func (s *seat) open() {
	s.rig.t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /peer/v1/read-index", answer(s, func(n *Node, ctx context.Context) (*api.ReadIndex, error) {
		s.asked.Add(1)
		return n.ReadIndex(ctx)
	}))
	mux.HandleFunc("GET /peer/v1/member", answer(s, (*Node).Member))
	mux.HandleFunc("POST /peer/v1/member:dismiss", func(w http.ResponseWriter, r *http.Request) {
		var d api.Dismissal
		if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
			s.rig.t.Error(err)
		}
		answer(s, func(n *Node, ctx context.Context) (*struct{}, error) { return &struct{}{}, n.Dismiss(ctx, d) })(w, r)
	})
	l, err := tls.Listen("tcp", s.api, s.rig.serverTLS(s.cert))
	if err != nil {
		s.rig.t.Fatal(err)
	}
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: time.Second, ErrorLog: hclog.NewNullLogger().StandardLogger(nil)}
	server := s.http
	go func() { _ = server.Serve(l) }()
	c := s.config()
	for _, tune := range s.rig.tune {
		tune(&c)
	}
	node, err := Open(s.rig.t.Context(), c)
	if err != nil {
		s.rig.t.Fatalf("open %s: %v", s.name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.node, s.cancel, s.led = node, cancel, make(chan struct{})
	s.serves.Store(node)
	led := s.led
	go func() {
		defer close(led)
		node.Lead(ctx, func(ctx context.Context) { s.lead(ctx, node) })
	}()
}

// answer serves one question of another scheduler.
func answer[T any](s *seat, ask func(*Node, context.Context) (*T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var err error = api.Refuse(api.NoLeader, "not open")
		if node := s.serves.Load(); node != nil {
			var v *T
			if v, err = ask(node, r.Context()); err == nil {
				_ = json.NewEncoder(w).Encode(v)
				return
			}
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(api.Problem(err))
	}
}

// lead is a leader that does nothing but open the gate.
func (s *seat) lead(ctx context.Context, node *Node) {
	if _, err := node.Barrier(ctx, fsm.Entry{Commands: []fsm.Command{fsm.InitCluster{ClusterID: s.rig.material.ClusterID}}}); err != nil {
		return
	}
	node.SetGate(true)
	<-ctx.Done()
	node.SetGate(false)
}

func (s *seat) end(stop func(*Node) error) {
	if s.node == nil {
		return
	}
	s.rig.t.Helper()
	s.serves.Store(nil)
	s.cancel()
	<-s.led
	if err := stop(s.node); err != nil {
		s.rig.t.Errorf("close %s: %v", s.name, err)
	}
	closeQuietly(s.http)
	s.node = nil
}

func (s *seat) close() { s.end((*Node).Close) }

// kill ends a node without a word to the others.
func (s *seat) kill() { s.end((*Node).Stop) }

// leader waits until a node leads and its gate is open, and returns its seat.
func (r *rig) leader() *seat {
	r.t.Helper()
	var found *seat
	eventually(r.t, "a leader", func() bool {
		for _, s := range r.seats {
			if s.node != nil && s.node.Leads() {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

func (r *rig) others(not *seat) []*seat {
	return slices.DeleteFunc(slices.Clone(r.seats), func(s *seat) bool { return s == not })
}

// write commits a tenant through whoever leads.
func (r *rig) write(tenant string) {
	r.t.Helper()
	cmd := fsm.CreateTenant{Actor: "operator/root", Tenant: api.TenantID(tenant), Quota: api.NoQuota()}
	eventually(r.t, "a write of "+tenant, func() bool {
		res, err := r.leader().node.Propose(r.t.Context(), fsm.Entry{Wall: 1, Commands: []fsm.Command{cmd}})
		return err == nil && (res[0].Problem == nil || res[0].Problem.Kind == api.Conflict)
	})
}

func tenants(v *fsm.View) string {
	var names []string
	for _, t := range v.Tenants() {
		names = append(names, string(t.ID))
	}
	return strings.Join(names, " ")
}

// wantRead reads on every node that lives.
func (r *rig) wantRead(want string) {
	r.t.Helper()
	for _, s := range r.seats {
		if s.node == nil {
			continue
		}
		v, err := s.node.Read(r.t.Context())
		if err != nil {
			r.t.Fatalf("read on %s: %v", s.name, err)
		}
		if got := tenants(v); got != want {
			r.t.Errorf("%s reads %q, want %q", s.name, got, want)
		}
	}
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !within(20*time.Second, cond) {
		t.Fatalf("never: %s", what)
	}
}

// within reports whether cond holds before d is over.
func within(d time.Duration, cond func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(d)
	defer end.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-end.C:
			return false
		}
	}
	return true
}

func schedulerID(name string) pki.Identity { return pki.Identity{Role: api.RoleScheduler, Name: name} }

func kindOf(err error) api.Kind { return api.KindOf(err) }

// logs are raft entries made by hand.
func command(t *testing.T, index uint64, cmds ...fsm.Command) *raft.Log {
	t.Helper()
	b, err := fsm.EncodeEntry(fsm.Entry{Tick: api.Tick(index), Wall: 1, Commands: cmds})
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: b}
}

var errSink = errors.New("the disk is full")
