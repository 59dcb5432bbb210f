package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// heal takes a fault back.
type heal func(context.Context) error

// kind is one kind of fault.
type kind struct {
	name string
	// three and five say how often a test of a cluster of so many schedulers has it; soak is
	// its weight among the kinds that a soak draws from.
	three, five, soak int
	// needs is a tool that it uses; "" is none.
	needs string
	// least and most bound how long it holds.
	least, most time.Duration
	// inject lets the fault strike and returns what heals it.
	inject func(context.Context, *run, fault) (heal, error)
}

// fault is one fault of a plan. All that is random about it is in here.
type fault struct {
	kind
	hold time.Duration
	// pick chooses between victims, seed everything else.
	pick, seed uint64
}

// rng is the fault's own randomness.
func (f fault) rng() *rand.Rand { return rand.New(rand.NewPCG(f.seed, f.pick)) }

// String is how a plan is printed.
func (f fault) String() string {
	return fmt.Sprintf("%s for %s, pick %d", f.name, f.hold.Round(time.Millisecond), f.pick%100)
}

// draw makes a fault of a kind.
func draw(k kind, rng *rand.Rand) fault {
	f := fault{kind: k, hold: k.least, pick: rng.Uint64(), seed: rng.Uint64()}
	if k.most > k.least {
		f.hold += time.Duration(rng.Int64N(int64(k.most - k.least)))
	}
	return f
}

// plan is the faults of a test, in the order that the seed gives.
func plan(seed uint64, kinds []kind, often func(kind) int) []fault {
	rng := rand.New(rand.NewPCG(seed, 1))
	var faults []fault
	for _, k := range kinds {
		for range often(k) {
			faults = append(faults, draw(k, rng))
		}
	}
	rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	return faults
}

// drawn is n faults by weight.
func drawn(seed uint64, kinds []kind, n int) []fault {
	rng := rand.New(rand.NewPCG(seed, 2))
	total := 0
	for _, k := range kinds {
		total += k.soak
	}
	var faults []fault
	for range n {
		at := rng.IntN(total)
		for _, k := range kinds {
			if at -= k.soak; at < 0 {
				faults = append(faults, draw(k, rng))
				break
			}
		}
	}
	return faults
}

// seed is SEED, or one of the clock; it is printed.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := uint64(time.Now().UnixNano()) % 1_000_000
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SEED is %q: it must be a number", text)
		}
	}
	t.Logf("SEED=%d repeats this schedule", s)
	return s
}

// TestPlan: a seed gives one plan, another seed another.
func TestPlan(t *testing.T) {
	text := func(seed uint64) string {
		return fmt.Sprint(plan(seed, kinds(), func(k kind) int { return k.three }), drawn(seed, kinds(), 50))
	}
	one, again, two := text(1), text(1), text(2)
	if one != again {
		t.Error("seed 1 gave two plans")
	}
	if one == two {
		t.Error("seeds 1 and 2 gave the same plan")
	}
	faults := 0
	for _, k := range kinds() {
		faults += k.three + k.five
	}
	if faults < leastFaults {
		t.Errorf("the plans have %d faults, fewer than %d", faults, leastFaults)
	}
}

// TestKinds: docs/faults.md speaks of every kind of fault.
func TestKinds(t *testing.T) {
	b, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds() {
		if !strings.Contains(string(b), k.name) {
			t.Errorf("docs/faults.md does not speak of %q", k.name)
		}
	}
}
