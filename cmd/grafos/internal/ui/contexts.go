package ui

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/grafos/grafos/api"
)

// contextFile is $XDG_CONFIG_HOME/grafos/contexts.toml. Paths in it are relative to it.
type contextFile struct {
	// Current is the context that is used when none is named.
	Current  string                  `toml:"current"`
	Contexts map[string]contextEntry `toml:"contexts"`
}

type contextEntry struct {
	Fabric    []string `toml:"fabric"`
	ClusterID string   `toml:"cluster_id"`
	CA        string   `toml:"ca"`
	Cert      string   `toml:"cert"`
	Key       string   `toml:"key"`
	TokenFile string   `toml:"token_file"`
	Tenant    string   `toml:"tenant"`
}

const maxContextFile = 1 << 20

// contextSource returns the named context, or the current one when name is "". No file is
// no context, unless one was named.
func contextSource(getenv func(string) string, name string) (source, error) {
	path := contextPath(getenv)
	text, err := readContexts(path, name)
	if text == nil || err != nil {
		return source{}, err
	}
	var file contextFile
	if err := DecodeTOML(path, text, &file); err != nil {
		return source{}, err
	}
	if name == "" {
		name = file.Current
	}
	if name == "" {
		return source{}, nil
	}
	entry, ok := file.Contexts[name]
	if !ok {
		return source{}, unknownContext(path, name, file)
	}
	dir := filepath.Dir(path)
	fabric := splitList(strings.Join(entry.Fabric, ","))
	return source{
		origin: "context " + name, fabric: fabric, clusterID: entry.ClusterID, tenant: entry.Tenant,
		ca: under(dir, entry.CA), cert: under(dir, entry.Cert), key: under(dir, entry.Key), tokenFile: under(dir, entry.TokenFile),
	}, nil
}

func contextPath(getenv func(string) string) string {
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" && getenv("HOME") != "" {
		dir = filepath.Join(getenv("HOME"), ".config")
	}
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "grafos", "contexts.toml")
}

func readContexts(path, name string) ([]byte, error) {
	if path == "" {
		return nil, missingContexts("$XDG_CONFIG_HOME/grafos/contexts.toml", name)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, missingContexts(path, name)
	}
	return ReadBounded(path, maxContextFile)
}

func missingContexts(path, name string) error {
	if name == "" {
		return nil
	}
	return api.Refuse(api.InvalidArgument, "context %q: there is no %s", Clean(name), path)
}

func unknownContext(path, name string, file contextFile) error {
	known := make([]string, 0, len(file.Contexts))
	for k := range file.Contexts {
		known = append(known, k)
	}
	slices.Sort(known)
	problem := api.Refuse(api.InvalidArgument, "%s has no context %q; it has %s", path, Clean(name), strings.Join(known, ", "))
	if near := Closest(name, known); near != "" {
		return problem.WithHint("--context %s", near)
	}
	return problem
}

// under makes a path of a file relative to the file's directory.
func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
