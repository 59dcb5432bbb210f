package sim

import (
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs one world in a bubble of its own. One that held says nothing: a hundred of them
// would bury what the one that did not has to say.
func bubble(t *testing.T, c Config) Account {
	t.Helper()
	var a Account
	synctest.Test(t, func(t *testing.T) { a = Run(t, c) })
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

// worlds is how many TestWorlds has.
const worlds = 120

// worldsAsked is what they must have seen. It is counted from what happened: a leader that was to
// be killed and was not, or a request without an answer, is none.
func worldsAsked() asked {
	return asked{kills: 3000, acked: 500_000, took: 20 * time.Hour, combined: 3000, changes: 60, used: 6000, stood: 800, late: 60, cut: 150}
}

// TestWorlds is what every change goes through.
func TestWorlds(t *testing.T) {
	if testing.Short() {
		t.Skip("four minutes: not in -short")
	}
	sum := many(t, 1, worlds, Config{Faults: 10 * time.Minute})
	if t.Failed() {
		return
	}
	for _, lacks := range sum.lacks(worldsAsked()) {
		t.Error(lacks)
	}
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
	sparing(t, 1<<30)
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
				sum = sum.plus(a)
			})
		}
	})
	t.Logf("%d worlds: %s; faults %v; refusals %v", n, sum, sum.Faults, sum.Refusals)
	return sum
}

// TestCountsAreAskedFor: worlds that saw too little of anything fail.
func TestCountsAreAskedFor(t *testing.T) {
	want := worldsAsked()
	enough := Account{
		Kills: want.kills, Acked: want.acked, Took: want.took, Combined: want.combined, Changes: want.changes, Used: want.used, Stood: want.stood, Late: want.late,
		Cut: want.cut,
	}
	if lacks := enough.lacks(want); len(lacks) > 0 {
		t.Errorf("enough is not enough: %v", lacks)
	}
	for i, less := range []func(*Account){
		func(a *Account) { a.Kills-- }, func(a *Account) { a.Acked-- }, func(a *Account) { a.Took-- }, func(a *Account) { a.Combined-- },
		func(a *Account) { a.Changes-- }, func(a *Account) { a.Used-- }, func(a *Account) { a.Stood-- }, func(a *Account) { a.Late-- }, func(a *Account) { a.Cut-- },
	} {
		a := enough
		less(&a)
		if lacks := a.lacks(want); len(lacks) != 1 {
			t.Errorf("one too few of count %d: %v", i, lacks)
		}
	}
}
