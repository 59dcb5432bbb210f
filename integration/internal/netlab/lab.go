package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/integration/internal/claim"
)

// netnsDir is where ip(8) keeps its namespaces.
const netnsDir = "/run/netns"

// maxHosts bounds the hosts of a lab: their last address byte is their number.
const maxHosts = 200

// Lab is a network of hosts.
type Lab struct {
	claim  *claim.Claim
	thread *thread
	names  []string
	hosts  map[string]*Host
	taps   []*os.File
	wires  *network

	mu    sync.Mutex // held while the net is changed
	close func() error
}

// Available says why there can be no lab here: nil when there can.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("the command ip is missing (package iproute2)")
	}
	t := newThread()
	defer t.close()
	return t.do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		tap, err := openTap()
		if err != nil {
			return err
		}
		return tap.Close()
	})
}

// Open makes a lab of hosts with these names, all reachable from each other. The seed decides
// what is lost, doubled and overtaken.
func Open(ctx context.Context, seed uint64, names ...string) (*Lab, error) {
	if len(names) == 0 || len(names) > maxHosts {
		return nil, fmt.Errorf("a lab has from 1 to %d hosts, not %d", maxHosts, len(names))
	}
	c, err := claim.Take("net", func(tag string) error { return sweep(ctx, tag) })
	if err != nil {
		return nil, err
	}
	l := &Lab{claim: c, thread: newThread(), names: names, hosts: map[string]*Host{}}
	l.close = sync.OnceValue(l.shut)
	if err := l.open(ctx, seed); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) open(ctx context.Context, seed uint64) error {
	net := &Net{index: map[string]int{}, links: make([]Link, len(l.names)*len(l.names))}
	for i, name := range l.names {
		net.index[name] = i
		h := &Host{Name: name, Addr: l.address(i), lab: l}
		if err := ip(ctx, nil, "netns", "add", l.netns(name)); err != nil {
			return err
		}
		var err error
		if h.ns, err = os.Open(filepath.Join(netnsDir, l.netns(name))); err != nil {
			return fmt.Errorf("open namespace: %w", err)
		}
		l.hosts[name] = h
		err = l.thread.do(func() error {
			return within(h.ns, func() error {
				tap, err := openTap()
				if err == nil {
					l.taps = append(l.taps, tap)
				}
				return err
			})
		})
		if err != nil {
			return err
		}
		if err := ip(ctx, l.script(i), "-n", l.netns(name), "-batch", "-"); err != nil {
			return err
		}
	}
	l.wires = newNetwork(l.taps, net, seed)
	return nil
}

// script sets the interface of a host up, and enters its neighbours.
func (l *Lab) script(self int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "link set lo up\n")
	fmt.Fprintf(&b, "link set %s addrgenmode none\n", device) // no IPv6 of its own
	mac := macOf(self)
	fmt.Fprintf(&b, "link set %s address %s mtu %d up\n", device, net.HardwareAddr(mac[:]), mtu)
	fmt.Fprintf(&b, "addr add %s/24 dev %s\n", l.address(self), device)
	for i := range l.names {
		if i != self {
			mac := macOf(i)
			fmt.Fprintf(&b, "neigh add %s lladdr %s dev %s nud permanent\n", l.address(i), net.HardwareAddr(mac[:]), device)
		}
	}
	return b.Bytes()
}

// address is a host's: every run has a range of its own.
func (l *Lab) address(host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, byte(l.claim.Number), byte(host + 1)})
}

func (l *Lab) netns(host string) string { return l.claim.Tag + "-" + host }

// Host returns the host of a name; nil where there is none.
func (l *Lab) Host(name string) *Host { return l.hosts[name] }

// Change edits a copy of the net and puts it in force, all at once.
func (l *Lab) Change(edit func(*Net)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.wires.net.Load().clone()
	edit(next)
	l.wires.net.Store(next)
}

// Heal makes every link perfect, all at once.
func (l *Lab) Heal() { l.Change((*Net).Heal) }

// Counts returns what became of the frames so far.
func (l *Lab) Counts() Counts {
	return Counts{Delivered: l.wires.delivered.Load(), Lost: l.wires.lost.Load(), Doubled: l.wires.doubled.Load()}
}

// Close kills what still runs on the hosts and removes them. It may be called twice.
func (l *Lab) Close() error { return l.close() }

func (l *Lab) shut() error {
	if l.wires != nil {
		l.wires.close()
	} else {
		for _, tap := range l.taps {
			_ = tap.Close() // it carried nothing
		}
	}
	var errs []error
	for _, h := range l.hosts {
		errs = append(errs, h.ns.Close())
	}
	errs = append(errs, sweep(context.Background(), l.claim.Tag))
	l.thread.close() // after the processes that it started
	return errors.Join(append(errs, l.claim.Release())...)
}

// sweep removes the namespaces of a run, and whoever still lives in them.
func sweep(ctx context.Context, tag string) error {
	entries, err := os.ReadDir(netnsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tag+"-") {
			continue
		}
		errs = append(errs, killAll(ctx, e.Name()), ip(ctx, nil, "netns", "del", e.Name()))
	}
	return errors.Join(errs...)
}

// killAll kills the processes of a namespace.
func killAll(ctx context.Context, netns string) error {
	out, err := exec.CommandContext(ctx, "ip", "netns", "pids", netns).Output()
	if err != nil {
		return fmt.Errorf("list processes of %s: %w", netns, err)
	}
	for text := range strings.FieldsSeq(string(out)) {
		pid, err := strconv.Atoi(text)
		if err != nil || pid == os.Getpid() {
			continue // a thread of ours may be inside at this moment
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d of %s: %w", pid, netns, err)
		}
	}
	return nil
}

// ip runs ip(8).
func ip(ctx context.Context, stdin []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, "ip", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
