package sim

import (
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs one world in a bubble of its own and says what came of it.
func bubble(t *testing.T, c Config) Account {
	t.Helper()
	began := time.Now()
	var a Account
	synctest.Test(t, func(t *testing.T) { a = Run(t, c) })
	t.Logf("seed %d: %d leader kills, %d acknowledged requests, %d entries in %s of its time and %s of ours; refusals %v",
		a.Seed, a.Kills, a.Acked, a.Entries, a.Took.Round(time.Second), time.Since(began).Round(time.Millisecond), a.Refusals)
	return a
}

// TestMutant is a few short worlds: enough that a deliberate fault shows (make mutants).
func TestMutant(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			bubble(t, Config{Seed: seed, Faults: 4 * time.Minute})
		})
		if t.Failed() {
			return
		}
	}
}

func TestSeeds(t *testing.T) {
	from, _ := strconv.ParseUint(os.Getenv("FROM"), 10, 64)
	n, _ := strconv.ParseUint(os.Getenv("SEEDS"), 10, 64)
	for seed := from; seed < from+n; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			c := Config{Seed: seed, Faults: 20 * time.Minute, Schedulers: 3}
			if seed%3 == 0 {
				c.Schedulers = 5
			}
			bubble(t, c)
		})
	}
}
