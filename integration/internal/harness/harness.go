// Package harness starts real clusters of real processes through the command line, as a
// user does, and looks at them from the outside. The tests, the demo and the benchmarks
// share it.
package harness

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
)

// Cluster is a dev cluster in a folder of its own.
type Cluster struct {
	bin string
	dir string // holds .grafos/dev
	// columns makes commands write as to a terminal of that width; 0 is a pipe.
	columns int
}

// Status is dev status --json.
type Status struct {
	Schedulers []Scheduler `json:"schedulers"`
	Cells      []Cell      `json:"cells"`
	Console    string      `json:"console"`
	CA         string      `json:"ca"`
	Tenant     string      `json:"tenant"`
}

// Scheduler is one scheduler of a status.
type Scheduler struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	URL  string `json:"url"`
	Role string `json:"role"`
}

// Cell is one cell of a status.
type Cell struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Ready bool   `json:"ready"`
}

// Up starts a cluster with dev up in dir, and returns when that does.
func Up(ctx context.Context, bin, dir string, schedulers, cells int) (*Cluster, error) {
	return UpJSON(ctx, new(Status), bin, dir, schedulers, cells)
}

// UpJSON is Up, and decodes what dev up answers into v.
func UpJSON(ctx context.Context, v any, bin, dir string, schedulers, cells int) (*Cluster, error) {
	return upInto(ctx, v, bin, dir, "--schedulers", fmt.Sprint(schedulers), "--cells", fmt.Sprint(cells))
}

// UpWith is Up with these flags of dev up.
func UpWith(ctx context.Context, bin, dir string, flags ...string) (*Cluster, error) {
	return upInto(ctx, new(Status), bin, dir, flags...)
}

func upInto(ctx context.Context, v any, bin, dir string, flags ...string) (*Cluster, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, fmt.Errorf("find the program: %w", err)
	}
	c := &Cluster{bin: bin, dir: dir}
	err = c.JSON(ctx, v, append([]string{"dev", "up"}, flags...)...)
	if err != nil {
		return nil, errors.Join(err, c.Down(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// At is whatever cluster commands find from a folder.
func At(bin, dir string) *Cluster { return &Cluster{bin: bin, dir: dir} }

// Down takes the cluster down.
func (c *Cluster) Down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err := c.Run(ctx, "dev", "down", "--json")
	return err
}

// Terminal returns the cluster with commands that write as to a terminal, without colour.
func (c *Cluster) Terminal(columns int) *Cluster {
	t := *c
	t.columns = columns
	return &t
}

// Dir is the folder in which commands find the cluster.
func (c *Cluster) Dir() string { return c.dir }

// DevDir is the cluster's own folder.
func (c *Cluster) DevDir() string { return filepath.Join(c.dir, ".grafos", "dev") }

// Said is what a command answered.
type Said struct {
	Args   []string
	Code   int
	Stdout []byte
	Stderr []byte
}

// ExitError is a command that ended with another code than zero.
type ExitError struct{ Said }

// Error tells the command, its exit code and what it said.
func (e *ExitError) Error() string {
	return fmt.Sprintf("grafos %v: exit %d: %s", e.Args, e.Code, bytes.TrimSpace(e.Stderr))
}

// Run runs grafos with args in the cluster's folder and returns its standard output; a
// non-zero exit is an *ExitError.
func (c *Cluster) Run(ctx context.Context, args ...string) ([]byte, error) {
	return c.RunInput(ctx, nil, args...)
}

// RunInput is Run with a standard input.
func (c *Cluster) RunInput(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	said, err := c.Exec(ctx, stdin, args...)
	if err == nil && said.Code != 0 {
		err = &ExitError{said}
	}
	return said.Stdout, err
}

// Exec runs grafos with args in the cluster's folder and returns what it said, whatever its
// exit code is.
func (c *Cluster) Exec(ctx context.Context, stdin []byte, args ...string) (Said, error) {
	cmd := exec.CommandContext(ctx, c.bin, args...)
	cmd.Dir = c.dir
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errOut
	cmd.Env = append(c.environ(cmd.Environ()), "XDG_CONFIG_HOME="+filepath.Join(c.dir, "config"))
	err := cmd.Run()
	said := Said{Args: args, Stdout: out.Bytes(), Stderr: errOut.Bytes()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		said.Code = exit.ExitCode()
		return said, nil
	}
	if err != nil {
		return said, fmt.Errorf("run grafos %v: %w", args, err)
	}
	return said, nil
}

// environ leaves out the settings of whoever runs the tests: they name another cluster.
func (c *Cluster) environ(env []string) []string {
	env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "GRAFOS_") })
	if c.columns > 0 {
		env = append(env, "GRAFOS_FORCE_TTY="+strconv.Itoa(c.columns), "NO_COLOR=1")
	}
	return env
}

// JSON runs grafos with args and --json and decodes its answer into v.
func (c *Cluster) JSON(ctx context.Context, v any, args ...string) error {
	out, err := c.Run(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, v); err != nil {
		return fmt.Errorf("grafos %v answered no JSON document: %w", args, err)
	}
	return nil
}

// Status asks dev status.
func (c *Cluster) Status(ctx context.Context) (*Status, error) {
	var s Status
	return &s, c.JSON(ctx, &s, "dev", "status")
}

// Leader names the scheduler that leads; it waits for one.
func (c *Cluster) Leader(ctx context.Context) (Scheduler, error) {
	for {
		s, err := c.Status(ctx)
		if err != nil {
			return Scheduler{}, err
		}
		for _, n := range s.Schedulers {
			if n.Role == "leader" {
				return n, nil
			}
		}
		if err := Pause(ctx, 20*time.Millisecond); err != nil {
			return Scheduler{}, fmt.Errorf("wait for a leader: %w", err)
		}
	}
}

// Kill ends a node as kill -9 does.
func (c *Cluster) Kill(ctx context.Context, node string) error {
	_, err := c.Run(ctx, "dev", "kill", node)
	return err
}

// Signal sends STOP, CONT or KILL to a node.
func (c *Cluster) Signal(ctx context.Context, node, signal string) error {
	_, err := c.Run(ctx, "dev", "kill", node, "--signal", signal)
	return err
}

// Restart starts a node again and returns when it is up.
func (c *Cluster) Restart(ctx context.Context, node string) error {
	_, err := c.Run(ctx, "dev", "restart", node)
	return err
}

// Client returns a client of the schedulers at urls (none: all of them), as the dev
// cluster's operator.
func (c *Cluster) Client(ctx context.Context, timeout time.Duration, urls ...string) (*client.Client, error) {
	if len(urls) == 0 {
		s, err := c.Status(ctx)
		if err != nil {
			return nil, err
		}
		for _, n := range s.Schedulers {
			urls = append(urls, n.URL)
		}
	}
	return c.ClientAs(filepath.Join(c.DevDir(), "operator"), timeout, urls...)
}

// ClientAs is Client with the certificate in a folder that admin issue-cert wrote.
func (c *Cluster) ClientAs(folder string, timeout time.Duration, urls ...string) (*client.Client, error) {
	cred, err := pki.LoadCredential(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))
	if err != nil {
		return nil, err
	}
	conf, err := c.TLS(cred, api.RoleScheduler)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URLs: urls, TLS: conf, Timeout: timeout, Log: hclog.NewNullLogger()})
}

// Material is the cluster's own.
func (c *Cluster) Material() (*pki.Material, error) {
	return pki.LoadMaterial(filepath.Join(c.DevDir(), "material"))
}

// TLS is how to reach a node of this cluster in a role with a credential; nil is none.
func (c *Cluster) TLS(cred *pki.Credential, server api.Role) (*tls.Config, error) {
	m, err := c.Material()
	if err != nil {
		return nil, err
	}
	o := pki.ClientOptions{Roots: m.Pool(), ClusterID: m.ClusterID, Server: server}
	if cred != nil {
		cert, err := cred.TLS()
		if err != nil {
			return nil, err
		}
		o.Cert = func() (*tls.Certificate, error) { return &cert, nil }
	}
	return pki.ClientTLS(o), nil
}

// States asks every scheduler that runs what it is.
func (c *Cluster) States(ctx context.Context) ([]*api.NodeState, error) {
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	var states []*api.NodeState
	for _, n := range s.Schedulers {
		one, err := c.Client(ctx, 10*time.Second, n.URL)
		if err != nil {
			return nil, err
		}
		st, err := one.NodeState(ctx)
		if err = errors.Join(err, one.Close()); err != nil {
			return nil, fmt.Errorf("ask %s: %w", n.Name, err)
		}
		states = append(states, st)
	}
	return states, nil
}

// Pause waits for d unless ctx ends: between two looks at something that has no other
// sign to give.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
