package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/integration/internal/disklab"
	"github.com/grafos/grafos/integration/internal/netlab"
)

// The timers of the cluster: those of a dev cluster.
const (
	Heartbeat      = "250ms"
	HeartbeatLimit = "3s"
	Warmup         = "1s"
	// Stable is short: a scheduler that joined again has its vote back soon.
	Stable = "2s"
)

// Provider is whose cells there are.
const Provider = "local"

// UserHost is the host of whoever uses the cluster.
const UserHost = "user"

// Config says how large a cluster is.
type Config struct {
	// Bin is the program.
	Bin string
	// Dir takes material, identities and logs.
	Dir               string
	Schedulers, Cells int
	// Seed is the network's.
	Seed uint64
	// LogStore is what keeps a scheduler's Raft log: boltdb or wal.
	LogStore string
	// SnapshotBytes is how much that log grows between two snapshots, such as 1M.
	SnapshotBytes string
	// SchedulerDisk is the size of a scheduler's disk, in bytes, CellDisk that of a cell's.
	SchedulerDisk, CellDisk int64
	// CellMemory is how much a cell has to lease, in bytes.
	CellMemory int64
}

// Fleet is a running cluster.
type Fleet struct {
	cfg      Config
	Net      *netlab.Lab
	disks    *disklab.Lab
	material *pki.Material
	operator *pki.Credential

	Schedulers, Cells []*Node
}

// Available says why there can be no fleet here: nil when there can.
func Available() error { return errors.Join(netlab.Available(), disklab.Available()) }

// Up builds network and disks and starts every node. It does not wait for a leader.
func Up(ctx context.Context, cfg Config) (*Fleet, error) {
	f := &Fleet{cfg: cfg}
	if err := f.up(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Fleet) up(ctx context.Context) error {
	names := []string{UserHost}
	for i := range f.cfg.Schedulers {
		names = append(names, fmt.Sprintf("s%d", i+1))
	}
	for i := range f.cfg.Cells {
		names = append(names, fmt.Sprintf("%s-%d", Provider, i+1))
	}
	var err error
	if f.Net, err = netlab.Open(ctx, f.cfg.Seed, names...); err != nil {
		return err
	}
	if f.disks, err = disklab.Open(); err != nil {
		return err
	}
	if err := os.MkdirAll(f.path("logs"), 0o700); err != nil {
		return fmt.Errorf("make logs folder: %w", err)
	}
	if err := f.found(ctx); err != nil {
		return err
	}
	if err := f.startSchedulers(ctx, names[1:1+f.cfg.Schedulers]); err != nil {
		return err
	}
	return f.startCells(ctx, names[1+f.cfg.Schedulers:])
}

func (f *Fleet) path(elem ...string) string {
	return filepath.Join(append([]string{f.cfg.Dir}, elem...)...)
}

// found makes the material of the cluster and an operator's certificate.
func (f *Fleet) found(ctx context.Context) error {
	if _, err := f.Command(ctx, UserHost, "admin", "init-ca", "--out", f.path("material")); err != nil {
		return err
	}
	_, err := f.Command(ctx, UserHost, "admin", "issue-cert", "--material", f.path("material"),
		"--role", "operator", "--name", "chaos", "--out", f.path("operator"))
	if err != nil {
		return err
	}
	if f.material, err = pki.LoadMaterial(f.path("material")); err != nil {
		return err
	}
	f.operator, err = pki.LoadCredential(f.path("operator", "cert.pem"), f.path("operator", "key.pem"))
	return err
}

func (f *Fleet) startSchedulers(ctx context.Context, names []string) error {
	var join []string
	for _, name := range names {
		join = append(join, f.at(name, 7492))
	}
	for _, name := range names {
		disk, err := f.disks.Ext4(ctx, name, f.cfg.SchedulerDisk)
		if err != nil {
			return err
		}
		n := &Node{
			Name: name, Host: f.Net.Host(name), Disk: disk, URL: "https://" + f.at(name, 7490), Log: f.path("logs", name+".log"),
			args: []string{
				f.cfg.Bin, "server", "--name", name, "--data-dir", DataDir(disk), "--material", f.path("material"),
				"--bind", f.at(name, 7490), "--raft-bind", f.at(name, 7491), "--gossip-bind", f.at(name, 7492),
				"--log-store", f.cfg.LogStore, "--snapshot-bytes", f.cfg.SnapshotBytes, "--bootstrap-expect", fmt.Sprint(len(names)), "--join", strings.Join(join, ","), "--providers", Provider,
				"--heartbeat", Heartbeat, "--heartbeat-limit", HeartbeatLimit, "--warmup", Warmup, "--stable", Stable,
			},
		}
		f.Schedulers = append(f.Schedulers, n)
		if err := n.Start(); err != nil {
			return err
		}
	}
	return nil
}

// DataDir is where a node keeps its data on its disk.
func DataDir(d *disklab.Disk) string { return filepath.Join(d.Dir, "data") }

// at is an address on a host.
func (f *Fleet) at(host string, port int) string {
	return fmt.Sprintf("%s:%d", f.Net.Host(host).Addr, port)
}

// URLs are the schedulers' API addresses.
func (f *Fleet) URLs() []string {
	var urls []string
	for _, s := range f.Schedulers {
		urls = append(urls, s.URL)
	}
	return urls
}

// startCells gives every cell its identity, on its own host, and starts it.
func (f *Fleet) startCells(ctx context.Context, names []string) error {
	reserve, err := f.reserve()
	if err != nil {
		return err
	}
	f.Cells = make([]*Node, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		disk, err := f.disks.Memory(name, f.cfg.CellDisk)
		if err != nil {
			return errors.Join(err, errors.Join(errs...))
		}
		f.Cells[i] = &Node{
			Name: name, Host: f.Net.Host(name), Disk: disk, Log: f.path("logs", name+".log"),
			args: []string{
				f.cfg.Bin, "cell-agent", "--identity", f.path(name), "--data-dir", DataDir(disk),
				"--data-bind", f.at(name, 7500), "--reserve-mem", reserve, "--block", fmt.Sprint(f.cfg.CellDisk / 2),
				"--zone", "lab", "--rack", name,
			},
		}
		wg.Go(func() {
			if errs[i] = f.identify(ctx, name); errs[i] == nil {
				errs[i] = f.Cells[i].Start()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// identify gives a host the identity of a cell.
func (f *Fleet) identify(ctx context.Context, name string) error {
	out, err := f.Command(ctx, UserHost, "admin", "bootstrap-token", "--material", f.path("material"), "--provider", Provider, "--cell-id", name, "--json")
	if err != nil {
		return err
	}
	var minted struct{ Token string }
	if err := json.Unmarshal(out, &minted); err != nil {
		return fmt.Errorf("read bootstrap token: %w", err)
	}
	token := f.path(name + ".token")
	if err := os.WriteFile(token, []byte(minted.Token), 0o600); err != nil {
		return fmt.Errorf("write bootstrap token: %w", err)
	}
	_, err = f.Command(ctx, name, "cloud", "bootstrap-cell", "--provider", Provider, "--cell-id", name,
		"--token-file", token, "--scheduler", strings.Join(f.URLs(), ","), "--dir", f.path(name))
	return err
}

// reserve is what a cell keeps back of the host's memory, so that it has CellMemory to lease.
func (f *Fleet) reserve() (string, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return "", fmt.Errorf("read memory size: %w", err)
	}
	var kib int64
	if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kib); err != nil {
		return "", fmt.Errorf("read memory size: %w", err)
	}
	return fmt.Sprint(kib<<10 - f.cfg.CellMemory), nil
}

// Command runs the program on a host and returns its standard output.
func (f *Fleet) Command(ctx context.Context, host string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, f.cfg.Bin, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = &out, &errOut, f.cfg.Dir, environ()
	if err := f.Net.Host(host).Start(cmd); err != nil {
		return nil, fmt.Errorf("run grafos %s: %w", args[0], err)
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("grafos %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(errOut.Bytes()))
	}
	return out.Bytes(), nil
}

// environ leaves out the settings of whoever runs the tests: they name another cluster.
func environ() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GRAFOS_") {
			env = append(env, kv)
		}
	}
	return env
}

// Close kills every node and removes hosts and disks. The logs stay.
func (f *Fleet) Close() error {
	var errs []error
	for _, n := range append(append([]*Node{}, f.Cells...), f.Schedulers...) {
		if n != nil {
			errs = append(errs, n.Kill())
		}
	}
	if f.Net != nil {
		errs = append(errs, f.Net.Close())
	}
	if f.disks != nil {
		errs = append(errs, f.disks.Close())
	}
	return errors.Join(errs...)
}
