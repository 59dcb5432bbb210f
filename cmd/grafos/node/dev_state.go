package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Names in the folder of a dev cluster.
const (
	devFile     = "dev.json"
	devLock     = "lock"
	materialDir = "material"
	devTenant   = "dev"
	devProvider = "local"
)

// devState is dev.json: how to reach the cluster, and how its nodes were started. Paths are
// relative to the folder.
type devState struct {
	ClusterID  string     `json:"cluster_id"`
	Schedulers []*devNode `json:"schedulers"`
	Cells      []*devNode `json:"cells"`
	CA         string     `json:"ca"`
	Cert       string     `json:"cert"`
	Key        string     `json:"key"`
	Tenant     string     `json:"tenant"`
}

func (s *devState) empty() bool { return s.ClusterID == "" }

// dev is a dev cluster's folder.
type dev struct {
	dir   string
	state devState
	lock  *os.File
}

// openDev finds the folder and reads what it says; exclusive holds it against other
// commands. Without a folder given it is the nearest one upward, or one here.
func openDev(dir string, exclusive bool) (*dev, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("ask for the working directory: %w", err)
	}
	if dir == "" {
		dir = filepath.Join(wd, filepath.FromSlash(defaultDevDir))
		if found := ui.FindDev(wd); found != "" {
			dir = filepath.Dir(found)
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("find the dev folder: %w", err)
	}
	d := &dev{dir: dir}
	if exclusive {
		if err := d.hold(); err != nil {
			return nil, err
		}
	}
	b, err := os.ReadFile(d.path(devFile))
	switch {
	case errors.Is(err, fs.ErrNotExist) && exclusive:
		return d, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, noDev(dir)
	case err == nil:
		err = ui.DecodeJSON(d.path(devFile), b, &d.state)
	}
	if err != nil {
		d.unlock()
		if _, ok := api.AsError(err); !ok {
			err = fmt.Errorf("read %s: %w", d.path(devFile), err)
		}
		return nil, err
	}
	return d, nil
}

func noDev(dir string) *api.Error {
	return api.Refuse(api.NotFound, "no dev cluster runs in %s", dir).WithHint("start one: grafos dev up")
}

func (d *dev) hold() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("make dev folder: %w", err)
	}
	f, err := os.OpenFile(d.path(devLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock dev folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return errors.Join(fmt.Errorf("lock dev folder: %w", err), f.Close())
	}
	d.lock = f
	return nil
}

// unlock lets other commands at the folder. Closing the file is what releases it.
func (d *dev) unlock() {
	if d.lock != nil {
		_ = d.lock.Close() // nothing was written to it
		d.lock = nil
	}
}

func (d *dev) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

func (d *dev) save() error {
	b, err := json.MarshalIndent(d.state, "", "  ")
	if err != nil {
		return fmt.Errorf("encode dev.json: %w", err)
	}
	tmp := d.path(devFile + ".tmp")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write dev.json: %w", err)
	}
	if err := os.Rename(tmp, d.path(devFile)); err != nil {
		return fmt.Errorf("write dev.json: %w", err)
	}
	return nil
}

func (d *dev) nodes() []*devNode {
	return append(append([]*devNode{}, d.state.Schedulers...), d.state.Cells...)
}

func (d *dev) node(name string) (*devNode, error) {
	if d.state.empty() {
		return nil, noDev(d.dir)
	}
	for _, n := range d.nodes() {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, api.Refuse(api.NotFound, "the dev cluster has no node %q", ui.Clean(name)).WithHint("see the names: grafos dev status")
}

func (d *dev) urls() []string {
	urls := make([]string, 0, len(d.state.Schedulers))
	for _, s := range d.state.Schedulers {
		urls = append(urls, s.URL)
	}
	return urls
}
