package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/integration/bench/internal/child"
	"github.com/grafos/grafos/integration/bench/internal/proc"
	"github.com/grafos/grafos/integration/internal/harness"
)

// seats is how many schedulers there are.
const seats = 3

const (
	warmup = 2 * time.Second
	tenant = api.TenantID("herd")
)

// world is three schedulers and their cells, each a process.
type world struct {
	dir      string
	material *pki.Material
	conf     *tls.Config
	seats    [seats]*seat
	herds    []*child.Process
}

// seat is one scheduler.
type seat struct {
	name  string
	url   string
	debug string
	proc  *child.Process
	one   *client.Client // asks it alone
	dead  bool
}

// newWorld starts the schedulers and waits for the first answer.
func (b *bench) newWorld(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp("", "grafos-cells-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	w := &world{dir: dir}
	if err := w.begin(ctx, b); err != nil {
		return nil, errors.Join(err, w.close(false))
	}
	return w, nil
}

func (w *world) begin(ctx context.Context, b *bench) (err error) {
	if w.material, err = pki.InitMaterial(filepath.Join(w.dir, "material"), pki.InitOptions{}); err != nil {
		return err
	}
	cred, err := w.material.Issue(pki.CertRequest{Identity: pki.Identity{ClusterID: w.material.ClusterID, Role: api.RoleOperator, Name: "bench"}})
	if err != nil {
		return err
	}
	cert, err := cred.TLS()
	if err != nil {
		return err
	}
	w.conf = pki.ClientTLS(pki.ClientOptions{
		Cert: func() (*tls.Certificate, error) { return &cert, nil }, Roots: w.material.Pool(), ClusterID: w.material.ClusterID, Server: api.RoleScheduler,
	})
	ports, err := freePorts(ctx, 4*seats)
	if err != nil {
		return err
	}
	join := strings.Join(ports[2*seats:3*seats], ",")
	for i := range seats {
		s := &seat{name: fmt.Sprintf("s%d", i+1), url: "https://" + ports[i], debug: ports[3*seats+i]}
		w.seats[i] = s
		if s.one, err = client.New(client.Config{URLs: []string{s.url}, TLS: w.conf, Timeout: 10 * time.Second}); err != nil {
			return err
		}
		args := []string{
			"server", "--name", s.name,
			"--data-dir", filepath.Join(w.dir, s.name), "--material", filepath.Join(w.dir, "material"),
			"--bind", ports[i], "--raft-bind", ports[seats+i], "--gossip-bind", ports[2*seats+i], "--join", join,
			"--bootstrap-expect", fmt.Sprint(seats), "--providers", string(provider), "--warmup", warmup.String(), "--debug-bind", s.debug,
		}
		if b.raft > 0 {
			args = append(args, "--raft-heartbeat", b.raft.String(), "--raft-election", b.raft.String(), "--raft-lease", (b.raft * 4 / 5).String())
		}
		s.proc, err = child.Start(b.bin, filepath.Join(w.dir, s.name+".log"), args...)
		if err != nil {
			return err
		}
	}
	all, err := w.client()
	if err != nil {
		return err
	}
	_, err = all.CreateTenant(ctx, tenant, api.WriteOptions{})
	return errors.Join(err, all.Close())
}

// client asks the schedulers that live.
func (w *world) client() (*client.Client, error) {
	return client.New(client.Config{URLs: w.urls(), TLS: w.conf, Timeout: 30 * time.Second})
}

func (w *world) urls() []string {
	var urls []string
	for _, s := range w.live() {
		urls = append(urls, s.url)
	}
	return urls
}

func (w *world) live() []*seat {
	var list []*seat
	for _, s := range w.seats {
		if s != nil && !s.dead {
			list = append(list, s)
		}
	}
	return list
}

// freePorts finds addresses of loopback, all different, below the ports of outgoing connections.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var list []string
	for port := 17000; port < 30000 && len(list) < n; port++ {
		addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("look for a port: %w", err)
		}
		list = append(list, addr)
	}
	if len(list) < n {
		return nil, errors.New("not enough free ports between 17000 and 30000")
	}
	return list, nil
}

// populate starts the processes of the cells.
func (w *world) populate(cells, herds int) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	for i := range herds {
		from, to := cells*i/herds, cells*(i+1)/herds
		p, err := child.Start(self, filepath.Join(w.dir, fmt.Sprintf("herd-%d.log", i+1)), "herd", "-material", filepath.Join(w.dir, "material"),
			"-urls", strings.Join(w.urls(), ","), "-first", fmt.Sprint(from), "-cells", fmt.Sprint(to-from))
		if err != nil {
			return err
		}
		w.herds = append(w.herds, p)
	}
	return nil
}

// ask asks all herds the same, and adds up what they count.
func (w *world) ask(ctx context.Context, do string) (counts, error) {
	sum := counts{}
	for _, h := range w.herds {
		a, err := h.Ask(ctx, child.Request{Do: do})
		if err != nil {
			return nil, err
		}
		sum.add(a)
	}
	return sum, nil
}

// counts are what the herds count.
type counts map[string]int64

func (c counts) add(a child.Answer) {
	for name, n := range a.Counts {
		c[name] += n
	}
}

// trouble is the first thing that failed in any herd.
func (w *world) trouble(ctx context.Context) string {
	for _, h := range w.herds {
		if a, err := h.Ask(ctx, child.Request{Do: doCount}); err == nil && a.First != "" {
			return a.First
		}
	}
	return "nothing"
}

// states asks the schedulers that live what they are; one that does not answer is left out.
func (w *world) states(ctx context.Context) map[*seat]*api.NodeState {
	var mu sync.Mutex
	var wg sync.WaitGroup
	states := map[*seat]*api.NodeState{}
	for _, s := range w.live() {
		wg.Go(func() {
			st, err := s.one.NodeState(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			states[s] = st
		})
	}
	wg.Wait()
	return states
}

// leader waits until a scheduler leads, and returns it.
func (w *world) leader(ctx context.Context) (*seat, *api.NodeState, error) {
	for {
		for s, st := range w.states(ctx) {
			if st.Role == "leader" {
				return s, st, nil
			}
		}
		if err := harness.Pause(ctx, 50*time.Millisecond); err != nil {
			return nil, nil, fmt.Errorf("wait for a leader: %w", err)
		}
	}
}

// sessions are those that the schedulers say they hold.
func (w *world) sessions(ctx context.Context) int {
	n := 0
	for _, st := range w.states(ctx) {
		n += st.Sessions
	}
	return n
}

// cpu is the processor time of every process that lives, by name.
func (w *world) cpu() (map[string]time.Duration, error) {
	used := map[string]time.Duration{}
	for _, s := range w.live() {
		d, err := proc.CPU(s.proc.PID())
		if err != nil {
			return nil, err
		}
		used[s.name] = d
	}
	for _, h := range w.herds {
		d, err := proc.CPU(h.PID())
		if err != nil {
			return nil, err
		}
		used["cells"] += d
	}
	return used, nil
}

// close ends every process and removes all that they wrote, but for a world in which something went
// wrong.
func (w *world) close(keep bool) error {
	var errs []error
	for _, h := range w.herds {
		errs = append(errs, h.Close())
	}
	for _, s := range w.seats {
		if s == nil || s.proc == nil {
			continue
		}
		if !s.dead {
			errs = append(errs, s.proc.Signal(syscall.SIGKILL)) // its data is removed anyway
		}
		errs = append(errs, s.proc.Close(), s.one.Close())
	}
	if keep {
		return errors.Join(errs...)
	}
	return errors.Join(errors.Join(errs...), os.RemoveAll(w.dir))
}
