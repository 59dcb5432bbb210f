package sim

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// TestReplay runs the world of one seed and says what it came to: see replay.
func TestReplay(t *testing.T) {
	text := os.Getenv("GRAFOS_SIM_SEED")
	if text == "" {
		t.Skip("GRAFOS_SIM_SEED names no seed: make sim SEED=n")
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	faults, err := time.ParseDuration(os.Getenv("GRAFOS_SIM_FAULTS"))
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Seed: seed, Faults: faults}
	shape(&c)
	if os.Getenv("GRAFOS_SIM_LINES") != "" {
		c.Trace = os.Stdout
	}
	var a Account
	synctest.Test(t, func(t *testing.T) { a = Run(t, c) })
	fmt.Printf("%d leader kills, %d acknowledged requests, %d entries in %s\n", a.Kills, a.Acked, a.Entries, a.Took)
	fmt.Printf("seed %d trace %s\n", seed, a.Trace)
}
