package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// The files of a cluster's folder.
const (
	fileCA      = "ca.pem"
	fileCAKey   = "ca-key.pem"
	fileJWTKey  = "jwt-key.pem"
	fileGossip  = "gossip.key"
	fileCluster = "cluster.json"
)

// materialVersion is the only version of the folder that is known.
const materialVersion = 1

// gossipKeySize makes gossip AES-256.
const gossipKeySize = 32

// clusterFile is cluster.json.
type clusterFile struct {
	ClusterID string `json:"cluster_id"`
	Version   int    `json:"version"`
}

// Material is what makes a cluster one: its id, its CA with the issuing key, the key that
// signs tokens, and the gossip key. Every scheduler is given the same. It is immutable and
// safe for concurrent use; printed, it shows no key.
type Material struct {
	ClusterID string
	CA        *x509.Certificate
	CAPEM     []byte
	GossipKey []byte // 32 bytes

	caKey  *ecdsa.PrivateKey
	jwtKey ed25519.PrivateKey
}

// Pool returns a pool of the cluster's CA alone.
func (m *Material) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(m.CA)
	return pool
}

// CAPin returns the fingerprint by which a first contact knows the cluster.
func (m *Material) CAPin() string { return Pin(m.CA) }

// String names the material without its keys.
func (m *Material) String() string { return "material of cluster " + m.ClusterID + ", CA " + m.CAPin() }

// GoString is String, so that no way of printing shows a key.
func (m *Material) GoString() string { return m.String() }

// newMaterial makes all keys of a new cluster.
func newMaterial(clusterID string, now time.Time) (*Material, error) {
	m := &Material{ClusterID: clusterID, GossipKey: make([]byte, gossipKeySize)}
	var err error
	if m.caKey, err = newKey(); err != nil {
		return nil, err
	}
	if m.CA, err = newCA(clusterID, m.caKey, now); err != nil {
		return nil, err
	}
	m.CAPEM = encodeCert(m.CA.Raw)
	if _, m.jwtKey, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, fmt.Errorf("make token key: %w", err)
	}
	if _, err := rand.Read(m.GossipKey); err != nil {
		return nil, fmt.Errorf("make gossip key: %w", err)
	}
	return m, nil
}

// file is a file of the folder to be written.
type file struct {
	name string
	data []byte
}

// files returns the folder's content. cluster.json comes last: with it the folder is whole.
func (m *Material) files() ([]file, error) {
	caKey, err := encodeKey(m.caKey)
	if err != nil {
		return nil, err
	}
	jwtKey, err := encodeKey(m.jwtKey)
	if err != nil {
		return nil, err
	}
	cluster, err := json.MarshalIndent(clusterFile{ClusterID: m.ClusterID, Version: materialVersion}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", fileCluster, err)
	}
	gossip := base64.StdEncoding.EncodeToString(m.GossipKey)
	return []file{
		{fileCAKey, caKey},
		{fileJWTKey, jwtKey},
		{fileGossip, []byte(gossip + "\n")},
		{fileCA, m.CAPEM},
		{fileCluster, append(cluster, '\n')},
	}, nil
}

// randomClusterID returns "g-" and 10 lowercase base32 characters.
func randomClusterID() string { return "g-" + strings.ToLower(rand.Text()[:10]) }

// checkCA refuses a CA that is another cluster's, does not belong to its key, or has ended.
func (m *Material) checkCA(now time.Time) error {
	cluster, err := caCluster(m.CA)
	if err != nil {
		return err
	}
	if cluster != m.ClusterID {
		return api.Refuse(api.IdentityMismatch, "%s says cluster %s, %s is the CA of cluster %s", fileCluster, m.ClusterID, fileCA, cluster).
			WithHint("these files come from two clusters: copy one folder whole")
	}
	if !m.caKey.PublicKey.Equal(m.CA.PublicKey) {
		return api.Refuse(api.IdentityMismatch, "%s is not the key of %s", fileCAKey, fileCA).
			WithHint("these files come from two clusters: copy one folder whole")
	}
	if now.After(m.CA.NotAfter) {
		return api.Refuse(api.InvalidArgument, "the CA of cluster %s expired %s ago, on %s",
			m.ClusterID, span(now.Sub(m.CA.NotAfter)), m.CA.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
