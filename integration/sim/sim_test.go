package sim

import (
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestSeeds(t *testing.T) {
	from, _ := strconv.ParseUint(os.Getenv("FROM"), 10, 64)
	n, _ := strconv.ParseUint(os.Getenv("SEEDS"), 10, 64)
	for seed := from; seed < from+n; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			began := time.Now()
			var a Account
			synctest.Test(t, func(t *testing.T) {
				c := Config{Seed: seed, Faults: 20 * time.Minute, Schedulers: 3}
				if seed%3 == 0 {
					c.Schedulers = 5
				}
				a = Run(t, c)
			})
			t.Logf("kills %d acked %d entries %d took %s refusals %v in %s", a.Kills, a.Acked, a.Entries, a.Took, a.Refusals, time.Since(began))
		})
	}
}
