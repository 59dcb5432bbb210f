// Command mutants proves that the tests would find a fault. It builds them with each
// deliberate fault of api/mutant in turn and demands that one fails; and that none fails
// without a fault. It exits 1 when a fault survives.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grafos/grafos/api/mutant"
)

// suite is tests of one package that find some faults.
type suite struct{ pkg, run string }

// hunters lists, for each fault, what is to find it: the first suite that does is enough.
func hunters() map[mutant.Fault][]suite {
	var (
		world   = suite{"./integration/sim", "^TestMutant$"}
		probes  = suite{"./integration/sim", "^(TestVoteSurvivesCrash|TestIsolatedLeaderServesNoRead|TestStandstillServesNoRead|TestBarrierWaits)$"}
		state   = suite{"./fsm", "^Test"}
		leader  = suite{"./cluster/leader", "^Test"}
		cell    = suite{"./cellagent", "^Test[^R]"} // those of fake time; the real ones take real seconds
		token   = suite{"./capbroker", "^Test"}
		disk    = suite{"./cluster/store", "^Test(Corrupt|Log)"}
		proof   = suite{"./cluster", "^TestCommitsOnlyWhatIsProven$"}
		pulse   = suite{"./cluster", "^TestPulseStandstill$"}
		spare   = suite{"./integration/sim", "^TestSpareConfirmsNoRead$"}
		replace = suite{"./integration/sim", "^(TestDeafFollowerDeposesNobody|TestHungLeaderIsReplaced)$"}
		stands  = suite{"./integration/sim", "^TestStandingCellServesNothing$"}
		herald  = suite{"./cluster/peer", "^TestHerald"}
		hush    = suite{"./cluster/peer", "^TestHush$"}
		quorum  = suite{"./cluster/peer", "^(TestWitness|TestWitnessOldAnswer|TestWitnessSpare|TestElectorate)$"}
	)
	return map[mutant.Fault][]suite{
		mutant.AckBeforeCommit: {world},
		mutant.ForgetKeys:      {state, world},
		mutant.QuotaByOne:      {state, world},
		mutant.CapacityByOne:   {state, world},
		mutant.SkipCellEpoch:   {state, world},
		mutant.StaleRead:       {world},
		mutant.SkipVerify:      {probes},
		mutant.TrustStandstill: {pulse},
		mutant.StaleAge:        {probes},

		mutant.VerifyCountsSpares: {spare, quorum},
		mutant.VerifyOldAnswer:    {quorum},

		mutant.OldToken:    {world, token},
		mutant.ServeLate:   {stands, world},
		mutant.KeepRevoked: {world, cell},
		mutant.ForgetFloor: {cell},

		mutant.HeraldAhead: {herald},
		mutant.HungTalks:   {replace, hush},
		mutant.StandAlone:  {replace},

		mutant.SkipBarrier:    {probes},
		mutant.GiveEarly:      {state, world},
		mutant.WallTicks:      {leader, world},
		mutant.LongToken:      {token, world},
		mutant.GossipVerdict:  {leader},
		mutant.KeepGeneration: {state, world},
		mutant.SilentRenewal:  {state, world},
		mutant.FinaliseTwice:  {state, world},
		mutant.OldStamp:       {cell},
		mutant.EarlyEnd:       {cell, world},
		mutant.LateEnd:        {cell, world},
		mutant.BlindLog:       {disk},
		mutant.ForgetVote:     {probes},
		mutant.CommitUnproven: {proof},
	}
}

// most bounds one run of a suite. A test that hangs finds nothing: on a machine that is busy
// every one would.
const most = 3 * time.Minute

func main() {
	only := flag.String("only", "", "try one fault, by name")
	verbose := flag.Bool("v", false, "print what the failing tests said")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, mutant.Fault(*only), *verbose); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only mutant.Fault, verbose bool) error {
	dir, err := os.MkdirTemp("", "grafos-mutants-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	l := &lab{dir: dir, built: map[string]string{}, verbose: verbose}
	faults := mutant.All()
	if only != "" {
		if !slices.Contains(faults, only) {
			return fmt.Errorf("no fault is called %q: they are %v", only, faults)
		}
		faults = []mutant.Fault{only}
	}
	if err := l.buildAll(ctx, faults); err != nil {
		return err
	}
	if err := l.healthy(ctx, faults); err != nil {
		return err
	}
	survived, err := l.huntAll(ctx, faults)
	if err != nil {
		return err
	}
	say("%d of %d deliberate faults found\n", len(faults)-len(survived), len(faults))
	if len(survived) > 0 {
		return fmt.Errorf("no test fails with %s", strings.Join(survived, ", "))
	}
	return nil
}

// say prints a line of the result.
func say(format string, args ...any) { _, _ = fmt.Fprintf(os.Stdout, format, args...) }

// lab builds and runs tests.
type lab struct {
	dir     string
	built   map[string]string // test binary of a package
	verbose bool
}

// side has do done for each of a list, on every core, and returns the first error.
func side[T any](ctx context.Context, list []T, do func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan T)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for v := range next {
				if err := do(ctx, v); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, v := range list {
		select {
		case next <- v:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// suites lists what finds the faults, each once.
func suites(faults []mutant.Fault) []suite {
	var list []suite
	for _, f := range faults {
		for _, s := range hunters()[f] {
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	return list
}

// healthy demands that the suites pass without a fault: one that always fails finds nothing.
func (l *lab) healthy(ctx context.Context, faults []mutant.Fault) error {
	return side(ctx, suites(faults), func(ctx context.Context, s suite) error {
		failed, out, err := l.try(ctx, s, "")
		if err == nil && failed {
			err = fmt.Errorf("%s %s fails without any fault:\n%s", s.pkg, s.run, out)
		}
		return err
	})
}

// huntAll hunts every fault, and returns those that no suite finds.
func (l *lab) huntAll(ctx context.Context, faults []mutant.Fault) (survived []string, err error) {
	var mu sync.Mutex
	err = side(ctx, faults, func(ctx context.Context, f mutant.Fault) error {
		by, took, err := l.hunt(ctx, f)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if by == "" {
			survived = append(survived, string(f))
			say("mutant %-26s SURVIVED in %s\n", f, took)
			return nil
		}
		say("mutant %-26s found by %s in %s\n", f, by, took)
		return nil
	})
	return survived, err
}

// hunt runs the suites of a fault until one fails. One that ends without a verdict found
// nothing: the next one is asked.
func (l *lab) hunt(ctx context.Context, f mutant.Fault) (by string, took time.Duration, err error) {
	began := time.Now()
	for _, s := range hunters()[f] {
		failed, out, err := l.try(ctx, s, f)
		if ctx.Err() != nil {
			return "", 0, context.Cause(ctx)
		}
		if err != nil {
			say("mutant %-26s no verdict: %v\n", f, err)
			continue
		}
		if failed {
			if l.verbose {
				say("%s\n", out)
			}
			return s.pkg + " " + s.run, time.Since(began).Round(time.Millisecond), nil
		}
	}
	return "", time.Since(began).Round(time.Millisecond), nil
}

// try runs a suite with a fault, and reports whether a test failed. Whatever else ends a suite,
// a time limit, a signal or a binary that does not start, is an error and finds nothing.
func (l *lab) try(ctx context.Context, s suite, f mutant.Fault) (failed bool, out string, err error) {
	ctx, cancel := context.WithTimeout(ctx, most+grace)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.built[s.pkg], "-test.run", s.run, "-test.short", "-test.failfast", "-test.timeout", most.String())
	cmd.Dir = s.pkg
	cmd.Env = append(os.Environ(), "GRAFOS_MUTANT="+string(f))
	text, err := cmd.CombinedOutput()
	_, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return false, "", nil
	case exited && testFailed(text):
		return true, tail(text), nil
	}
	return false, "", fmt.Errorf("%s %s with fault %q: no test failed, but it ended with %w:\n%s", s.pkg, s.run, f, err, tail(text))
}

// grace is what a test binary gets to end by itself at its own time limit, and to say so.
const grace = 10 * time.Second

// testFailed reports whether a test says that it failed: "--- FAIL: TestName (0.01s)".
func testFailed(text []byte) bool {
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("--- FAIL: ")) {
			return true
		}
	}
	return false
}

// tail is the end of what a test said.
func tail(b []byte) string {
	const lines = 20
	all := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

// buildAll builds the tests of every suite, before anything is timed.
func (l *lab) buildAll(ctx context.Context, faults []mutant.Fault) error {
	for _, s := range suites(faults) {
		if l.built[s.pkg] != "" {
			continue
		}
		bin := filepath.Join(l.dir, strings.ReplaceAll(strings.TrimPrefix(s.pkg, "./"), "/", "-")+".test")
		cmd := exec.CommandContext(ctx, "go", "test", "-tags", "mutants", "-c", "-o", bin, s.pkg)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build the tests of %s: %w", s.pkg, err)
		}
		l.built[s.pkg] = bin
	}
	return nil
}
