// Command replay runs a simulation that was built for wasip1, with a clock and a randomness
// that come from the seed alone, so that the same seed gives the same run, byte for byte. Its
// last line is "seed N trace HASH".
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// order says what is to be replayed.
type order struct {
	seed          uint64
	module, cache string
	lines         bool
	faults        time.Duration
	out           io.Writer
}

func main() {
	o := order{out: os.Stdout}
	flag.Uint64Var(&o.seed, "seed", 1, "the seed of the world")
	flag.StringVar(&o.module, "module", "bin/sim.wasm", "the simulation: go test -c ./integration/sim, built for wasip1")
	flag.StringVar(&o.cache, "cache", "bin/sim.cache", "directory of compiled code")
	flag.BoolVar(&o.lines, "lines", false, "print everything that happens, not only its hash")
	flag.DurationVar(&o.faults, "faults", 2*time.Minute, "for how long something goes wrong")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintf(os.Stderr, "replay seed %d: %v\n", o.seed, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o order) (err error) {
	code, err := os.ReadFile(o.module)
	if err != nil {
		return fmt.Errorf("read the simulation: %w", err)
	}
	cache, err := wazero.NewCompilationCacheWithDir(o.cache)
	if err != nil {
		return fmt.Errorf("open the cache of compiled code: %w", err)
	}
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))
	defer func() { err = errors.Join(err, r.Close(ctx), cache.Close(ctx)) }()
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return fmt.Errorf("offer WASI: %w", err)
	}
	compiled, err := r.CompileModule(ctx, code)
	if err != nil {
		return fmt.Errorf("compile %s: %w", o.module, err)
	}
	tmp, err := os.MkdirTemp("", "grafos-sim-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	c := newClock()
	tail := verdict{out: o.out}
	defer func() { err = errors.Join(err, tail.close()) }()
	conf := wazero.NewModuleConfig().
		WithArgs("sim", "-test.run", "^TestReplay$", "-test.timeout", "0").
		WithEnv("GRAFOS_SIM_SEED", strconv.FormatUint(o.seed, 10)).
		WithEnv("GRAFOS_SIM_FAULTS", o.faults.String()).
		WithEnv("TMPDIR", "/tmp").
		WithFSConfig(wazero.NewFSConfig().WithDirMount(tmp, "/tmp")).
		WithStdout(&tail).WithStderr(os.Stderr).
		WithRandSource(source{rand.New(rand.NewPCG(o.seed, 1))}). //nolint:gosec // the seed is all that it must come from
		WithWalltime(c.wall, sys.ClockResolution(1)).
		WithNanotime(c.nano, sys.ClockResolution(1)).
		WithNanosleep(c.sleep).WithOsyield(func() {})
	if o.lines {
		conf = conf.WithEnv("GRAFOS_SIM_LINES", "1")
	}
	_, err = r.InstantiateModule(ctx, compiled, conf)
	if exit, ok := errors.AsType[*sys.ExitError](err); ok && exit.ExitCode() == 0 {
		return nil
	}
	return err
}

// verdict passes on what a test binary prints, without the line by which it says that it
// passed: the last line is the world's own.
type verdict struct {
	out  io.Writer
	line []byte
}

// Write takes bytes and passes on whole lines.
func (v *verdict) Write(p []byte) (int, error) {
	v.line = append(v.line, p...)
	for {
		end := bytes.IndexByte(v.line, '\n')
		if end < 0 {
			return len(p), nil
		}
		if err := v.pass(v.line[:end+1]); err != nil {
			return 0, err
		}
		v.line = v.line[end+1:]
	}
}

func (v *verdict) pass(line []byte) error {
	if string(line) == "PASS\n" {
		return nil
	}
	_, err := v.out.Write(line)
	return err
}

// close passes on a line that was never ended.
func (v *verdict) close() error { return v.pass(v.line) }

// source is the randomness of the guest: what seeds its maps, its selects and its scheduler.
type source struct{ r *rand.Rand }

// Read fills p.
func (s source) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s.r.Uint32())
	}
	return len(p), nil
}

// clock is the guest's time: it moves when it is read, by a little, and when the guest sleeps.
type clock struct{ now int64 }

// step is what one look at the clock takes.
const step = 1000

func newClock() *clock { return &clock{now: 1_800_000_000_000_000_000} }

func (c *clock) nano() int64 {
	c.now += step
	return c.now
}

func (c *clock) wall() (sec int64, nsec int32) {
	n := c.nano()
	return n / 1e9, int32(n % 1e9)
}

func (c *clock) sleep(ns int64) { c.now += max(ns, 0) }
