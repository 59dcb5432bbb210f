package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/grafos/grafos/api"
)

// LoadMaterial reads a cluster's folder and refuses one that is not whole, whose files do
// not belong together, whose keys others can read, or whose CA has ended.
func LoadMaterial(dir string) (*Material, error) {
	m := &Material{}
	for _, load := range []func(string) error{m.loadCluster, m.loadCA, m.loadCAKey, m.loadJWTKey, m.loadGossip} {
		if err := load(dir); err != nil {
			return nil, hintMaterial(err, dir)
		}
	}
	if err := m.checkCA(time.Now()); err != nil {
		return nil, err
	}
	return m, nil
}

// hintMaterial tells how a missing file comes into being.
func hintMaterial(err error, dir string) error {
	if p, ok := api.AsError(err); ok && p.Kind == api.NotFound {
		return p.WithHint("make a new cluster's folder with: grafos admin init-ca --out %s; or copy it from a scheduler of the cluster", dir)
	}
	return err
}

func (m *Material) loadCluster(dir string) error {
	path := filepath.Join(dir, fileCluster)
	data, err := readPublic(path)
	if err != nil {
		return err
	}
	var c clusterFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return api.Refuse(api.InvalidArgument, "%s cannot be read: %v", path, err)
	}
	if dec.More() {
		return api.Refuse(api.InvalidArgument, "%s has something after its document", path)
	}
	if c.Version != materialVersion {
		return api.Refuse(api.InvalidArgument, "%s has version %d: this grafos reads version %d", path, c.Version, materialVersion)
	}
	m.ClusterID = c.ClusterID
	return checkClusterID(c.ClusterID)
}

func (m *Material) loadCA(dir string) error {
	data, err := readPublic(filepath.Join(dir, fileCA))
	if err != nil {
		return err
	}
	m.CAPEM = data
	m.CA, err = ParseCA(data)
	return err
}

func (m *Material) loadCAKey(dir string) error {
	path := filepath.Join(dir, fileCAKey)
	k, err := loadKey[*ecdsa.PrivateKey](path)
	if err != nil {
		return err
	}
	if k == nil || k.Curve != elliptic.P256() {
		return api.Refuse(api.InvalidArgument, "%s is not a P-256 key", path)
	}
	m.caKey = k
	return nil
}

func (m *Material) loadJWTKey(dir string) error {
	path := filepath.Join(dir, fileJWTKey)
	k, err := loadKey[ed25519.PrivateKey](path)
	if err != nil {
		return err
	}
	if k == nil {
		return api.Refuse(api.InvalidArgument, "%s is not an Ed25519 key", path)
	}
	m.jwtKey = k
	return nil
}

// loadKey reads a private key file; a key of another type is the zero K.
func loadKey[K crypto.PrivateKey](path string) (K, error) {
	var none K
	data, err := readKey(path)
	if err != nil {
		return none, err
	}
	key, err := parseKey(path, data)
	if err != nil {
		return none, err
	}
	k, _ := key.(K)
	return k, nil
}

func (m *Material) loadGossip(dir string) error {
	path := filepath.Join(dir, fileGossip)
	data, err := readKey(path)
	if err != nil {
		return err
	}
	key, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(data)))
	if err != nil || len(key) != gossipKeySize {
		return api.Refuse(api.InvalidArgument, "%s is not the base64 of %d bytes", path, gossipKeySize)
	}
	m.GossipKey = key
	return nil
}
