package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// rig runs commands against a fake cluster as a shell would.
type rig struct {
	*fake
	t     *testing.T
	stdin io.Reader
	env   map[string]string
	dir   string
	http  *http.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{fake: newFake(), t: t, stdin: strings.NewReader(""), dir: t.TempDir()}
	r.env = map[string]string{"GRAFOS_FABRIC": "https://s1:7490"}
	r.file("hello.wasm", "\x00asm\x01\x00\x00\x00")
	return r
}

// file puts a file into the rig's directory.
func (r *rig) file(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func (r *rig) root(out, errOut io.Writer) *cobra.Command {
	return Root(Options{
		Stdin: r.stdin, Stdout: out, Stderr: errOut, Version: "0.1.0", Dir: r.dir, Now: noon,
		Getenv:    func(key string) string { return r.env[key] },
		Connect:   func(ui.Connection) (Services, error) { return r.fake, nil },
		DataPlane: func(ui.Connection, api.ProviderID, api.CellID) (*http.Client, error) { return r.http, nil },
	})
}

// result is what a command left behind.
type result struct {
	out, err string
	code     int
}

func (r *rig) run(args ...string) result {
	r.t.Helper()
	return r.runIn(r.t.Context(), args...)
}

func (r *rig) runIn(ctx context.Context, args ...string) result {
	r.t.Helper()
	var out, errOut bytes.Buffer
	code := Execute(ctx, r.root(&out, &errOut), args)
	return result{out: out.String(), err: errOut.String(), code: code}
}

// want fails unless the command ended so.
func (got result) want(t *testing.T, code int, outHas, errHas string) {
	t.Helper()
	if got.code != code {
		t.Errorf("exit %d, want %d", got.code, code)
	}
	if !strings.Contains(got.out, outHas) {
		t.Errorf("stdout lacks %q", outHas)
	}
	if !strings.Contains(got.err, errHas) {
		t.Errorf("stderr lacks %q", errHas)
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", got.out, got.err)
	}
}

// problem decodes the one problem document that standard error must be.
func (got result) problem(t *testing.T) api.Error {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(got.err))
	dec.DisallowUnknownFields()
	var p api.Error
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("stderr is not a problem document: %v\n%s", err, got.err)
	}
	if dec.More() {
		t.Fatalf("stderr has more than one document:\n%s", got.err)
	}
	if got.out != "" {
		t.Fatalf("stdout is not empty beside a problem:\n%s", got.out)
	}
	return p
}
