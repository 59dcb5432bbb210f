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
	"github.com/grafos/grafos/cluster/store/disk"
)

// owner says whose data a directory holds.
type owner struct {
	Version   int        `json:"version"`
	ClusterID string     `json:"cluster_id"`
	Name      string     `json:"name"`
	Node      api.NodeID `json:"node_id"` // empty once it was retired, until the next start
	// Storage is the id of the Raft directory in which this id's votes and log are; empty until
	// there is one. Another directory, or an empty one, is none of this id's.
	Storage string `json:"storage_id,omitempty"`
	// Retired are ids that this scheduler had, the newest last: their votes are forgotten.
	Retired []api.NodeID `json:"retired,omitempty"`
}

const (
	ownerVersion = 1
	// keepRetired bounds the ids that are remembered.
	keepRetired = 8
)

// ClaimDir makes dir this scheduler's and returns its id: the name and a few random
// characters, made at the first start, and anew at the first start after SetAside. A
// scheduler whose directory was lost comes back under another id, since a vote that was
// forgotten must not be given twice; that the Raft directory alone was lost is found when it is
// opened (StorageID). A directory of another cluster or scheduler is refused.
func ClaimDir(dir, clusterID, name string) (api.NodeID, error) {
	if err := api.CheckName("scheduler name", name); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	file := filepath.Join(dir, "node.json")
	o, err := readOwner(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o = owner{Version: ownerVersion, ClusterID: clusterID, Name: name}
	case err != nil:
		return "", err
	default:
		if err := o.check(file, dir, clusterID, name); err != nil || o.Node != "" {
			return o.Node, err
		}
	}
	if o.Node, err = newID(name); err != nil {
		return "", err
	}
	return o.Node, writeOwner(file, o)
}

// SetAside makes an end of a scheduler whose Raft directory, raftDir, is damaged: its id is
// retired, so that the next start makes a new one, and then the directory is moved out of the
// way, to where. The id goes first: a crash in between leaves a damaged directory that is
// found again, never an empty one under the id whose votes it held. The scheduler can join
// its cluster again, by snapshot, when the rest has a quorum without it; nobody else may
// decide that it has.
func SetAside(dir, raftDir, reason string) (where string, err error) {
	file := filepath.Join(dir, "node.json")
	o, err := readOwner(file)
	if err != nil {
		return "", fmt.Errorf("retire this scheduler's id: %w", err)
	}
	if o.Node != "" {
		o.retire()
		o.Storage = ""
		if err := writeOwner(file, o); err != nil {
			return "", err
		}
	}
	return disk.SetAside(raftDir, reason)
}

// Rename retires a scheduler's id and gives it a new one, which it returns with the old one.
func Rename(dir string) (old, id api.NodeID, err error) {
	file := filepath.Join(dir, "node.json")
	o, err := readOwner(file)
	if err != nil {
		return "", "", err
	}
	if old = o.Node; old != "" {
		o.retire()
	}
	if o.Node, err = newID(o.Name); err != nil {
		return "", "", err
	}
	return old, o.Node, writeOwner(file, o)
}

// Owner is whose a data directory is.
type Owner struct {
	ClusterID string
	Name      string
	Node      api.NodeID
}

// ReadOwner says whose a data directory is.
func ReadOwner(dir string) (Owner, error) {
	file := filepath.Join(dir, "node.json")
	o, err := readOwner(file)
	if err != nil {
		return Owner{}, err
	}
	return Owner{ClusterID: o.ClusterID, Name: o.Name, Node: o.Node}, o.check(file, dir, o.ClusterID, o.Name)
}

// StorageID returns the id of the Raft directory that belongs to a scheduler's id; empty where
// it never had one.
func StorageID(dir string) (string, error) {
	o, err := readOwner(filepath.Join(dir, "node.json"))
	return o.Storage, err
}

// KeepStorageID notes which Raft directory belongs to a scheduler's id: before anything is written
// there that must not be forgotten.
func KeepStorageID(dir, id string) error {
	file := filepath.Join(dir, "node.json")
	o, err := readOwner(file)
	if err != nil {
		return err
	}
	o.Storage = id
	return writeOwner(file, o)
}

// retire makes the id one that this scheduler had.
func (o *owner) retire() {
	o.Retired = append(o.Retired, o.Node)
	o.Retired = o.Retired[max(0, len(o.Retired)-keepRetired):]
	o.Node = ""
}

func newID(name string) (api.NodeID, error) {
	id := name + "-" + strings.ToLower(rand.Text()[:6])
	return api.NodeID(id), api.CheckName("scheduler id", id)
}

// HadData reports whether a scheduler's directory was set aside before: it belongs to a cluster
// with data, and founds none.
func HadData(dir string) (bool, error) {
	o, err := readOwner(filepath.Join(dir, "node.json"))
	return len(o.Retired) > 0, err
}

func readOwner(file string) (owner, error) {
	var o owner
	b, err := os.ReadFile(file)
	if err != nil {
		return o, fmt.Errorf("read node identity: %w", err)
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return o, api.Refuse(api.Conflict, "%s is not readable as a node's identity: %v", file, err).
			WithHint("restore the file, or start this scheduler with an empty data directory")
	}
	return o, nil
}

func (o *owner) check(file, dir, clusterID, name string) error {
	switch {
	case o.Version != ownerVersion:
		return api.Refuse(api.Conflict, "%s has version %d, this grafos knows version %d", file, o.Version, ownerVersion).
			WithHint("use the release that wrote it, or a newer one")
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
	if err := disk.WriteFile(name, append(b, '\n')); err != nil {
		return fmt.Errorf("write node identity: %w", err)
	}
	return nil
}
