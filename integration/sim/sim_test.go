package sim

import (
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// bubble runs one world in a bubble of its own and says what came of it.
func bubble(t *testing.T, c Config) Account {
	t.Helper()
	began := time.Now()
	var a Account
	synctest.Test(t, func(t *testing.T) { a = Run(t, c) })
	t.Logf("seed %d: %d leader kills, %d combined faults, %d acknowledged requests, %d entries in %s of its time and %s of ours; faults %v; refusals %v",
		a.Seed, a.Kills, a.Combined, a.Acked, a.Entries, a.Took.Round(time.Second), time.Since(began).Round(time.Millisecond), a.Faults, a.Refusals)
	return a
}

// TestMutant is a few short worlds: enough that a deliberate fault shows (make mutants).
func TestMutant(t *testing.T) {
	if os.Getenv("GRAFOS_MUTANT") == "" && !testing.Short() {
		t.Skip("TestWorlds does more")
	}
	for seed := range uint64(3) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			bubble(t, Config{Seed: seed, Faults: 3 * time.Minute})
		})
		if t.Failed() {
			return
		}
	}
}

// What TestWorlds must have seen. It is counted from what happened: a leader that was to be
// killed and was not, or a request without an answer, is none.
const (
	worlds        = 120
	killsAsked    = 3000
	combinedAsked = 3000
	changesAsked  = 60
	ackedAsked    = 500_000
	timeAsked     = 20 * time.Hour
)

// TestWorlds is what every change goes through.
func TestWorlds(t *testing.T) {
	if testing.Short() {
		t.Skip("four minutes: not in -short")
	}
	sum := many(t, 1, worlds, Config{Faults: 10 * time.Minute})
	if t.Failed() {
		return
	}
	if sum.Kills < killsAsked || sum.Acked < ackedAsked || sum.Took < timeAsked {
		t.Errorf("%d leader kills, %d acknowledged requests in %s: at least %d, %d and %s are asked for",
			sum.Kills, sum.Acked, sum.Took.Round(time.Second), killsAsked, ackedAsked, timeAsked)
	}
	if sum.Combined < combinedAsked || sum.Changes < changesAsked {
		t.Errorf("%d faults began while others were under way, and %d disks and members went for good: at least %d and %d are asked for",
			sum.Combined, sum.Changes, combinedAsked, changesAsked)
	}
}

// TestSoak is for as long as somebody wants: GRAFOS_SIM_WORLDS worlds from GRAFOS_SIM_SEED on
// (make sim-soak), each with GRAFOS_SIM_FAULTS of faults. GRAFOS_SIM_LOG is a file for what happens
// and for what the schedulers log, of one world.
func TestSoak(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("GRAFOS_SIM_WORLDS"))
	if err != nil {
		t.Skip("GRAFOS_SIM_WORLDS says no number of worlds: make sim-soak")
	}
	seed, err := strconv.ParseUint(os.Getenv("GRAFOS_SIM_SEED"), 10, 64)
	if err != nil {
		seed = 1000
	}
	faults, err := time.ParseDuration(os.Getenv("GRAFOS_SIM_FAULTS"))
	if err != nil {
		faults = time.Hour
	}
	c := Config{Faults: faults}
	if name := os.Getenv("GRAFOS_SIM_LOG"); name != "" {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // it is for reading along
		c.Trace, c.Log = f, hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: f})
	}
	many(t, seed, n, c)
}

// shape makes worlds of several kinds, by their seeds: every fourth has five schedulers; in three
// of eight faults come together, more or less densely, and one of those three has a spare, and
// members that come and go.
func shape(c *Config) {
	switch c.Seed % 8 {
	case 0:
		c.Schedulers = 5
	case 1:
		c.Together = 3
	case 4:
		c.Schedulers, c.Together = 5, 3
	case 5:
		c.Spares, c.Together = 1, 3
	}
	if c.Together > 1 {
		c.Calm = []time.Duration{8 * time.Second, 5 * time.Second, 3 * time.Second}[c.Seed/8%3]
	}
}

// many runs worlds side by side and adds up what they came to.
func many(t *testing.T, from uint64, n int, c Config) Account {
	t.Helper()
	// A world allocates much and keeps little of it: collected seldom, it costs 200 MB. One of an
	// hour keeps ten times as much before it ends.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	var mu sync.Mutex
	var sum Account
	t.Run("seed", func(t *testing.T) {
		for seed := from; seed < from+uint64(n); seed++ {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				c := c
				c.Seed = seed
				shape(&c)
				a := bubble(t, c)
				mu.Lock()
				defer mu.Unlock()
				sum.Kills += a.Kills
				sum.Combined += a.Combined
				sum.Changes += a.Changes
				sum.Acked += a.Acked
				sum.Took += a.Took
				sum.Entries += a.Entries
				sum.Fulls += a.Fulls
			})
		}
	})
	t.Logf("%d worlds: %d leader kills, %d combined faults, %d disks and members gone for good, %d acknowledged requests, %d entries, %d whole states checked, %s of simulated time",
		n, sum.Kills, sum.Combined, sum.Changes, sum.Acked, sum.Entries, sum.Fulls, sum.Took.Round(time.Second))
	return sum
}
