package ui

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// DevFile is where a running dev cluster says how to reach it, below the directory that
// it was started in.
const DevFile = ".grafos/dev/dev.json"

const maxDevFile = 1 << 20

// devCluster is the part of dev.json that a client needs; the rest is not its business.
type devCluster struct {
	ClusterID  string `json:"cluster_id"`
	Schedulers []struct {
		URL string `json:"url"`
	} `json:"schedulers"`
	CA     string `json:"ca"`
	Cert   string `json:"cert"`
	Key    string `json:"key"`
	Tenant string `json:"tenant"`
}

// FindDev returns the dev.json of dir or of the nearest directory above it, or "".
func FindDev(dir string) string {
	for dir != "" {
		path := filepath.Join(dir, filepath.FromSlash(DevFile))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
	return ""
}

// devSource returns the dev cluster found upward from dir. Paths in its file are relative
// to the file.
func devSource(dir string) (source, error) {
	path := FindDev(dir)
	if path == "" {
		return source{}, nil
	}
	text, err := ReadBounded(path, maxDevFile)
	if err != nil {
		// It went away between the look and the read: the cluster was just taken down.
		if _, statErr := os.Stat(path); errors.Is(statErr, fs.ErrNotExist) {
			return source{}, nil
		}
		return source{}, err
	}
	var dev devCluster
	if err := DecodeJSON(path, text, &dev); err != nil {
		return source{}, err
	}
	base := filepath.Dir(path)
	s := source{
		origin: path, clusterID: dev.ClusterID, tenant: dev.Tenant,
		ca: under(base, dev.CA), cert: under(base, dev.Cert), key: under(base, dev.Key),
	}
	for _, node := range dev.Schedulers {
		s.fabric = append(s.fabric, splitList(node.URL)...)
	}
	return s, nil
}
