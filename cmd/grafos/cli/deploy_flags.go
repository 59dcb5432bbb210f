package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// deployFlags are the flags of deploy plan and deploy run: the same, so that a command
// line is planned by changing one word.
type deployFlags struct {
	resources resourceFlags
	module    string
	provider  string
	tasklet   string
	input     string
	env       []string
	priority  string
	fuel      ui.Fuel
	retries   int
	tenant    string
	detach    bool
	allow     []string
}

func (f *deployFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.provider, "provider", "", "the `provider` to run at (required)")
	fs.StringVar(&f.module, "module", "", "the WebAssembly module: `FILE.wasm`, instead of a program's")
	fs.StringVar(&f.tasklet, "tasklet", "", "which tasklet of the program, where it has several: its `name`")
	fs.StringVar(&f.input, "input", "", "`file` for its standard input, - for ours (default: empty)")
	fs.StringArrayVar(&f.env, "env", nil, "`K=V` for its environment; may be repeated")
	fs.StringVar(&f.priority, "priority", string(api.PriorityStandard), "guaranteed, standard or scavenger")
	fs.Var(&f.fuel, "fuel", "instructions it may use; runs are not metered yet: only unlimited is taken")
	fs.IntVar(&f.retries, "retries", 0, "how often a lost run is tried again on another cell")
	fs.StringVar(&f.tenant, "tenant", "", "act for this `tenant`")
	fs.BoolVar(&f.detach, "detach", false, "print the run's id and do not wait for it")
	fs.StringArrayVar(&f.allow, "allow", nil, "where it may connect to with --net: `HOST:PORT`, ADDRESS:PORT or CIDR:PORT; may be repeated (default: nowhere)")
	f.resources.add(cmd)
}

// apply lets the flags that were given replace what the program says.
func (f *deployFlags) apply(t *tasklet, args []string) error {
	r := &f.resources
	if r.cpu.Given {
		t.resources.CPU = r.cpu.N
	}
	if r.mem.Given {
		t.resources.Mem = r.mem.N
	}
	if r.block.Given {
		t.resources.Block = r.block.N
	}
	if r.net.Given {
		t.resources.Net = r.net.N
	}
	t.resources.GPU = r.gpu.N
	if len(f.allow) > 0 {
		t.allow = f.allow
	}
	if err := t.checkAllow(); err != nil {
		return err
	}
	if r.ttl.Given {
		t.ttl = r.ttl.D
	}
	if len(args) > 0 {
		t.args = args
	}
	for _, pair := range f.env {
		key, _, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return api.Refuse(api.InvalidArgument, "--env %q is not K=V", ui.Clean(pair))
		}
		t.env = slices.DeleteFunc(t.env, func(old string) bool { return strings.HasPrefix(old, key+"=") })
		t.env = append(t.env, pair)
	}
	return nil
}

// notDir is how a word before -- is answered that is no directory: most often it is meant for
// the tasklet.
func notDir(dir string) *api.Error {
	return api.Refuse(api.InvalidArgument, "%s is no directory of a program", ui.Clean(dir)).
		WithHint("what the tasklet is to get as its arguments comes after --")
}

// split parts the arguments at --: a directory before it, the tasklet's arguments after.
func split(cmd *cobra.Command, args []string) (dir string, rest []string, err error) {
	before := args
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		before, rest = args[:dash], args[dash:]
	}
	switch len(before) {
	case 0:
		return "", rest, nil
	case 1:
		return before[0], rest, nil
	}
	return "", nil, api.Refuse(api.InvalidArgument, "%s takes one DIR, and the tasklet's arguments after --: %q", cmd.CommandPath(), before[1])
}
