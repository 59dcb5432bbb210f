package sim

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWorld(t *testing.T) {
	began := time.Now()
	var a Account
	synctest.Test(t, func(t *testing.T) {
		a = Run(t, Config{Seed: 1, Faults: 2 * time.Minute})
	})
	t.Logf("%+v in %s", a, time.Since(began))
}
