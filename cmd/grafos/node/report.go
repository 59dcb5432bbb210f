package node

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/grafos/grafos/api"
)

// maxGoroutines bounds the text of all stacks.
const maxGoroutines = 4 << 20

// processReport is what this process says of itself.
func processReport(s serverSettings, version string, log *logRing, metrics http.Handler) api.ProcessReport {
	r := api.ProcessReport{Config: configReport(s), Build: buildReport(version), Metrics: scrape(metrics)}
	var stacks bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
		fmt.Fprintf(&stacks, "not written: %v\n", err)
	}
	r.Goroutines = string(stacks.Bytes()[:min(stacks.Len(), maxGoroutines)])
	if log != nil {
		r.Log = log.text()
	}
	return r
}

// configReport is the settings under the names that a file gives them.
func configReport(s serverSettings) map[string]any {
	config := map[string]any{}
	b, err := toml.Marshal(s)
	if err == nil {
		err = toml.Unmarshal(b, &config)
	}
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	for name := range config {
		if secretName(name) {
			config[name] = "(left out)"
		}
	}
	return config
}

// secretName reports whether a setting could be a secret. None is today: they come from files.
func secretName(name string) bool {
	for _, part := range []string{"key", "token", "secret", "password", "credential"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

func buildReport(version string) map[string]string {
	b := map[string]string{"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if strings.HasPrefix(s.Key, "vcs.") || s.Key == "-tags" {
				b[s.Key] = s.Value
			}
		}
		for _, d := range info.Deps {
			b[d.Path] = d.Version
		}
	}
	return b
}

// scrape asks the metrics as Prometheus does.
func scrape(h http.Handler) string {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", nil)
	if err != nil {
		return err.Error()
	}
	page := &scraped{header: http.Header{}}
	h.ServeHTTP(page, r)
	return page.String()
}

// scraped is an answer that is kept.
type scraped struct {
	bytes.Buffer
	header http.Header
}

// Header returns the headers, which nobody reads.
func (s *scraped) Header() http.Header { return s.header }

// WriteHeader takes the status, which the text tells too.
func (*scraped) WriteHeader(int) {}
