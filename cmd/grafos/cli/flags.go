package cli

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// writeFlags are what every mutation takes.
type writeFlags struct {
	dryRun bool
	reason string
	key    ui.Key
	yes    bool
}

func (f *writeFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.dryRun, "dry-run", false, "decide and answer, but change nothing")
	fs.StringVar(&f.reason, "reason", "", "`why`, for the audit chain")
	f.key.AddFlag(fs)
	fs.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
}

// options returns the write's options. A key is made here rather than in the client, so
// that a failure can tell the one to repeat with.
func (f *writeFlags) options() api.WriteOptions {
	if f.key == "" {
		f.key = ui.Key("cli-" + rand.Text())
	}
	return api.WriteOptions{IdempotencyKey: string(f.key), Reason: f.reason, DryRun: f.dryRun}
}

// repeatable says under which key to repeat a write whose outcome was not learned.
func (f *writeFlags) repeatable(err error) error {
	if api.KindOf(err) != api.OutcomeUnknown {
		return err
	}
	problem := *api.Problem(err)
	problem.Hint = "repeat it with --idempotency-key " + string(f.key) + ": it is done once, however often it is asked"
	return &problem
}

// dry tells a person that nothing was changed.
func (f *writeFlags) dry(u *ui.UI) {
	if f.dryRun {
		u.Note("dry run: nothing was changed")
	}
}

func watchFlag(cmd *cobra.Command, watch *bool) {
	cmd.Flags().BoolVarP(watch, "watch", "w", false, "go on with every change")
}

// resourceFlags are the amounts of a request.
type resourceFlags struct {
	cpu   ui.Number
	mem   ui.Size
	block ui.Size
	net   ui.Size
	gpu   ui.Number
	how   gpuFlags
	ttl   ui.TTL
}

func (f *resourceFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(&f.cpu, "cpu", "cpu in `millicores`")
	fs.Var(&f.mem, "mem", "memory: bytes, or with K, M, G, T (powers of 1024)")
	fs.Var(&f.block, "block", "block storage: bytes, or with K, M, G, T; whole blocks of 512")
	fs.Var(&f.net, "net", "network in `bits` per second, or with K, M, G, T")
	fs.Var(&f.gpu, "gpu", "gpu `devices`")
	f.how.add(cmd)
	fs.Var(&f.ttl, "ttl", "time to live, 1s to 24h (default 60s)")
}

func (f *resourceFlags) resources() api.Resources {
	return api.Resources{CPU: f.cpu.N, Mem: f.mem.N, Block: f.block.N, Net: f.net.N, GPU: f.gpu.N}
}

// terms adds what the flags say beyond the amounts to the terms that there are; nil is none.
func (f *resourceFlags) terms(t *api.Terms) (*api.Terms, error) {
	g, err := f.how.terms(f.gpu.N)
	if g == nil || err != nil {
		return t, err
	}
	if t == nil {
		t = &api.Terms{}
	}
	t.GPU = g
	return t, nil
}

func (f *resourceFlags) ttlMs(otherwise time.Duration) int64 {
	if f.ttl.Given {
		return f.ttl.D.Milliseconds()
	}
	return otherwise.Milliseconds()
}

func asNamedFlag(err error) (namedFlag, bool) { return errors.AsType[namedFlag](err) }

func flagNames(cmd *cobra.Command) []string {
	var names []string
	for _, fs := range []*pflag.FlagSet{cmd.Flags(), cmd.InheritedFlags()} {
		fs.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	}
	return names
}
