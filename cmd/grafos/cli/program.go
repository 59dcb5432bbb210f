package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// programFile is the file that makes a directory a program.
const programFile = "grafos.toml"

const maxProgramFile = 1 << 20

// program is grafos.toml.
type program struct {
	Program struct {
		Name string `toml:"name"`
	} `toml:"program"`
	Tasklets []programTasklet `toml:"tasklet"`
}

type programTasklet struct {
	Name    string            `toml:"name"`
	Module  string            `toml:"module"` // relative to the file
	Profile api.Profile       `toml:"profile"`
	CPU     int64             `toml:"cpu"` // millicores
	Mem     tomlSize          `toml:"mem"`
	Block   tomlSize          `toml:"block"`
	Net     int64             `toml:"net"`   // bits a second
	Allow   []string          `toml:"allow"` // where it may connect to
	TTL     string            `toml:"ttl"`
	Args    []string          `toml:"args"`
	Env     map[string]string `toml:"env"`
}

// tomlSize is a size as a string: "64M".
type tomlSize struct{ n int64 }

// UnmarshalText reads what --mem reads.
func (s *tomlSize) UnmarshalText(text []byte) error {
	n, err := api.ParseSize(string(text))
	if err != nil {
		return err
	}
	s.n = n
	return nil
}

// tasklet is what is to be run, from a program or from flags alone.
type tasklet struct {
	name      string
	module    string // path; "" is none, for a plan
	profile   api.Profile
	resources api.Resources
	ttl       time.Duration
	args      []string
	env       []string
	allow     []string // where it may connect to
}

// checkAllow refuses an allow-list that cannot be read, or that nobody could use.
func (t *tasklet) checkAllow() error {
	if len(t.allow) > 0 && t.resources.Net == 0 {
		return api.Refuse(api.InvalidArgument, "--allow says where the tasklet may connect to, and it has no network").
			WithHint("give it one as well: --net BITS, in bits a second")
	}
	_, err := api.ParseEgressList(t.allow)
	return err
}

// terms is what is asked of the resources beyond their amounts; nil is nothing.
func (t *tasklet) terms() *api.Terms {
	if len(t.allow) == 0 {
		return nil
	}
	return &api.Terms{Egress: t.allow}
}

func defaultTasklet() tasklet {
	return tasklet{
		resources: api.Resources{CPU: api.DefaultRunCPU, Mem: api.DefaultRunMem},
		ttl:       api.DefaultRunTTL,
	}
}

// findTasklet returns the tasklet that a directory and the flags name. Without a directory
// the module of the flags is enough; without both the working directory is the program.
func (f *deployFlags) findTasklet(cwd, dir string, args []string) (tasklet, error) {
	t := defaultTasklet()
	switch {
	case dir != "" && f.module != "" && !isDir(under(cwd, dir)):
		return tasklet{}, notDir(dir)
	case dir != "" || f.module == "":
		program, err := loadProgram(under(cwd, dir))
		if err != nil {
			return tasklet{}, err
		}
		if t, err = program.pick(f.tasklet, under(cwd, dir)); err != nil {
			return tasklet{}, err
		}
	case f.tasklet != "":
		t.name = f.tasklet
	default:
		t.name = strings.TrimSuffix(filepath.Base(f.module), ".wasm")
	}
	if f.module != "" {
		t.module = under(cwd, f.module)
	}
	return t, f.apply(&t, args)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func under(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// loadProgram reads the grafos.toml of a directory, strictly.
func loadProgram(dir string) (*program, error) {
	path := filepath.Join(dir, programFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, api.Refuse(api.InvalidArgument, "%s: there is no %s", dir, programFile).
			WithHint("give the DIR of a program, or --module FILE.wasm")
	}
	text, err := ui.ReadBounded(path, maxProgramFile)
	if err != nil {
		return nil, err
	}
	var p program
	if err := ui.DecodeTOML(path, text, &p); err != nil {
		return nil, err
	}
	if len(p.Tasklets) == 0 {
		return nil, api.Refuse(api.InvalidArgument, "%s: a program needs a [[tasklet]]", path).
			WithHint("for a start: [[tasklet]], name = \"NAME\", module = \"FILE.wasm\"")
	}
	return &p, nil
}

// pick returns the named tasklet, or the only one.
func (p *program) pick(name, dir string) (tasklet, error) {
	names := make([]string, len(p.Tasklets))
	for i, t := range p.Tasklets {
		names[i] = t.Name
	}
	if name == "" && len(p.Tasklets) == 1 {
		return p.Tasklets[0].resolve(dir)
	}
	if i := slices.Index(names, name); i >= 0 && name != "" {
		return p.Tasklets[i].resolve(dir)
	}
	if name == "" {
		return tasklet{}, api.Refuse(api.InvalidArgument, "the program has several tasklets: %s", strings.Join(names, ", ")).
			WithHint("--tasklet %s", names[0])
	}
	problem := api.Refuse(api.InvalidArgument, "the program has no tasklet %q: it has %s", ui.Clean(name), strings.Join(names, ", "))
	if near := ui.Closest(name, names); near != "" {
		return tasklet{}, problem.WithHint("--tasklet %s", near)
	}
	return tasklet{}, problem
}

// resolve fills in the defaults. Nothing of it is checked that the request's own Check
// checks.
func (t programTasklet) resolve(dir string) (tasklet, error) {
	out := defaultTasklet()
	out.name, out.profile, out.args = t.Name, t.Profile, t.Args
	if t.Module != "" {
		out.module = under(dir, t.Module)
	}
	if t.CPU != 0 {
		out.resources.CPU = t.CPU
	}
	if t.Mem.n != 0 {
		out.resources.Mem = t.Mem.n
	}
	out.resources.Block, out.resources.Net, out.allow = t.Block.n, t.Net, t.Allow
	if t.TTL != "" {
		ttl, err := ui.ParseTTL(t.TTL)
		if err != nil {
			return tasklet{}, ui.Usage(fmt.Errorf("tasklet %q: %w", t.Name, err))
		}
		out.ttl = ttl
	}
	for key, value := range t.Env {
		out.env = append(out.env, key+"="+value)
	}
	slices.Sort(out.env)
	return out, nil
}
