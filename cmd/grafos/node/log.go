package node

import (
	"io"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// logSettings say how a node logs.
type logSettings struct {
	Level string `toml:"log_level"`
	JSON  bool   `toml:"log_json"`
}

func (l logSettings) open(name string, w io.Writer) (hclog.Logger, error) {
	level := hclog.LevelFromString(l.Level)
	if level == hclog.NoLevel {
		return nil, api.Refuse(api.InvalidArgument, "log-level is %q: it is one of trace, debug, info, warn, error, off", l.Level)
	}
	return hclog.New(&hclog.LoggerOptions{Name: name, Level: level, JSONFormat: l.JSON, Output: w}), nil
}
