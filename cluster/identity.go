package cluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/grafos/grafos/api"
)

// owner says whose data a directory holds.
type owner struct {
	Version   int        `json:"version"`
	ClusterID string     `json:"cluster_id"`
	Name      string     `json:"name"`
	Node      api.NodeID `json:"node_id"`
}

const ownerVersion = 1

// ClaimDir makes dir this scheduler's and returns its id: the name and a few random
// characters, made at the first start. A scheduler whose directory was lost comes back under
// another id, since a vote that was forgotten must not be given twice. A directory of
// another cluster or scheduler is refused.
func ClaimDir(dir, clusterID, name string) (api.NodeID, error) {
	if err := api.CheckName("scheduler name", name); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	file := filepath.Join(dir, "node.json")
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		o := owner{ownerVersion, clusterID, name, api.NodeID(name + "-" + strings.ToLower(rand.Text()[:6]))}
		if err := api.CheckName("scheduler id", string(o.Node)); err != nil {
			return "", err
		}
		return o.Node, writeOwner(file, o)
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	var o owner
	if err := json.Unmarshal(b, &o); err != nil {
		return "", api.Refuse(api.Conflict, "%s is not readable as a node's identity: %v", file, err).
			WithHint("restore the file, or start this scheduler with an empty data directory")
	}
	return o.Node, o.check(file, dir, clusterID, name)
}

func (o owner) check(file, dir, clusterID, name string) error {
	switch {
	case o.Version != ownerVersion:
		return api.Refuse(api.Conflict, "%s has version %d, this grafos knows version %d", file, o.Version, ownerVersion).
			WithHint("use the version of grafos that wrote it, or a newer one")
	case o.ClusterID != clusterID:
		return api.Refuse(api.Conflict, "data directory %s belongs to cluster %s, not to %s", dir, o.ClusterID, clusterID).
			WithHint("give the material of cluster %s, or another data directory", o.ClusterID)
	case o.Name != name:
		return api.Refuse(api.Conflict, "data directory %s belongs to scheduler %s, not to %s", dir, o.Name, name).
			WithHint("start it with --name %s, or give another data directory", o.Name)
	}
	return nil
}

func writeOwner(name string, o owner) error {
	b, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return fmt.Errorf("encode node identity: %w", err)
	}
	tmp := name + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write node identity: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write node identity: %w", err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("write node identity: %w", err)
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}
