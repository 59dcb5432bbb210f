package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/integration/bench/internal/child"
	"github.com/grafos/grafos/integration/bench/internal/load"
	"github.com/grafos/grafos/integration/internal/harness"
)

// closing is what a part of a benchmark has opened.
type closing []func() error

func (c *closing) add(f func() error) { *c = append(*c, f) }

// end closes it all, the last one first, and adds what went wrong to err.
func (c *closing) end(err *error) {
	for _, f := range slices.Backward(*c) {
		*err = errors.Join(*err, f())
	}
}

// seats is how many members a cluster has.
const seats = 3

// fleet is three members as processes of their own, ours or etcd's.
type fleet struct {
	dir  string
	path string
	args [seats][]string
	at   [seats]string // where clients reach a member
	proc [seats]*child.Process
}

func (f *fleet) start(i int) error {
	p, err := child.Start(f.path, filepath.Join(f.dir, fmt.Sprintf("m%d.log", i+1)), f.args[i]...)
	if err != nil {
		return err
	}
	f.proc[i] = p
	return nil
}

func (f *fleet) close() error {
	var errs []error
	for _, p := range f.proc {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errors.Join(errs...), os.RemoveAll(f.dir))
}

func (f *fleet) pids() []int {
	list := make([]int, seats)
	for i, p := range f.proc {
		list[i] = p.PID()
	}
	return list
}

const leaderTime = 30 * time.Second

// leader waits until a member leads and returns which.
func (f *fleet) leader(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, leaderTime)
	defer cancel()
	for {
		for i, p := range f.proc {
			a, err := p.Ask(ctx, child.Request{Do: "state"})
			if err != nil {
				return 0, fmt.Errorf("wait for a leader: %w", err)
			}
			if a.Leads {
				return i, nil
			}
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return 0, fmt.Errorf("wait for a leader: %w", err)
		}
	}
}

// inLeader makes a load inside the process of the leader.
func (f *fleet) inLeader(ctx context.Context, s load.Spec) (load.Run, error) {
	i, err := f.leader(ctx)
	if err != nil {
		return load.Run{}, err
	}
	a, err := f.proc[i].Ask(ctx, child.Load("put", s))
	return a.Run(), err
}

// newFleet makes the folder and finds the ports of a fleet; args says how a member is
// started with its two ports and those of all, the second ones.
func newFleet(ctx context.Context, path string, args func(i int, dir string, own, others [seats]string) []string) (*fleet, error) {
	dir, err := os.MkdirTemp("", "grafos-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	f := &fleet{dir: dir, path: path}
	var second [seats]string
	for i := range seats {
		if f.at[i], err = freeAddr(ctx); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		if second[i], err = freeAddr(ctx); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	for i := range seats {
		f.args[i] = args(i, dir, f.at, second)
	}
	return f, nil
}

// freeAddr finds an address of loopback that nobody listens on, below the ports that the
// kernel gives to outgoing connections: a member must be able to come back to it.
func freeAddr(ctx context.Context) (string, error) {
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(10000+rand.IntN(20000)))
		tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			continue
		}
		udp, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", addr)
		if err := tcp.Close(); err != nil {
			return "", fmt.Errorf("look for a port: %w", err)
		}
		if err == nil {
			return addr, udp.Close()
		}
	}
	return "", errors.New("no free port found between 10000 and 30000")
}

// members starts three of our members and makes what their load changes.
func (b *bench) members(ctx context.Context, logStore string, plain bool) (*fleet, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	f, err := newFleet(ctx, self, func(i int, dir string, raft, talk [seats]string) []string {
		return []string{
			"member", "-name", fmt.Sprintf("s%d", i+1), "-dir", filepath.Join(dir, fmt.Sprintf("s%d", i+1)),
			"-material", filepath.Join(dir, "material"), "-raft", raft[i], "-gossip", talk[i],
			"-join", strings.Join(talk[:], ","), "-log-store", logStore, "-plain=" + strconv.FormatBool(plain),
		}
	})
	if err != nil {
		return nil, err
	}
	if _, err := pki.InitMaterial(filepath.Join(f.dir, "material"), pki.InitOptions{}); err != nil {
		return nil, errors.Join(err, f.close())
	}
	for i := range seats {
		if err := f.start(i); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	i, err := f.leader(ctx)
	if err == nil {
		_, err = f.proc[i].Ask(ctx, child.Request{Do: "prepare"})
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// etcd is a fleet of etcd's and a client of it.
type etcd struct {
	*fleet
	client *child.Process
}

// etcdConns is how many connections etcd's client has: it did best with about so many, and
// one is enough for a few requests.
const etcdConns = 4

func (b *bench) etcd(ctx context.Context) (*etcd, error) {
	f, err := newFleet(ctx, b.peers, func(i int, dir string, clients, peers [seats]string) []string {
		var all []string
		for n, at := range peers {
			all = append(all, fmt.Sprintf("m%d=https://%s", n+1, at))
		}
		return []string{
			"member", "-name", fmt.Sprintf("m%d", i+1), "-dir", filepath.Join(dir, fmt.Sprintf("m%d", i+1)),
			"-certs", dir, "-client", clients[i], "-peer", peers[i], "-cluster", strings.Join(all, ","),
		}
	})
	if err != nil {
		return nil, err
	}
	e := &etcd{fleet: f}
	if out, err := exec.CommandContext(ctx, b.peers, "certs", "-dir", f.dir).CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("make etcd's certificates: %w: %s", err, out), f.close())
	}
	for i := range seats {
		if err := f.start(i); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	if _, err := f.leader(ctx); err != nil {
		return nil, errors.Join(err, f.close())
	}
	e.client, err = child.Start(b.peers, filepath.Join(f.dir, "client.log"), "client", "-certs", f.dir)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return e, nil
}

func (e *etcd) close() error { return errors.Join(e.client.Close(), e.fleet.close()) }

// puts makes a load of puts through a client that talks to the leader: no member has to
// forward anything.
func (e *etcd) puts(ctx context.Context, s load.Spec) (load.Run, error) {
	i, err := e.leader(ctx)
	if err != nil {
		return load.Run{}, err
	}
	return e.ask(ctx, "put", s, e.at[i])
}

// gets makes a load of reads spread over the members; do is get or get-serializable.
func (e *etcd) gets(do string) func(context.Context, load.Spec) (load.Run, error) {
	return func(ctx context.Context, s load.Spec) (load.Run, error) { return e.ask(ctx, do, s, e.at[:]...) }
}

func (e *etcd) ask(ctx context.Context, do string, s load.Spec, at ...string) (load.Run, error) {
	r := child.Load(do, s)
	r.Endpoints, r.Conns = at, etcdConns
	if s.Outstanding < 64 {
		r.Conns = 1
	}
	a, err := e.client.Ask(ctx, r)
	return a.Run(), err
}

func pause(ctx context.Context, d time.Duration) error { return harness.Pause(ctx, d) }
