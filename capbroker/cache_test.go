package capbroker

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
)

// What may change is looked at each time, also for a token that was seen before.
func TestCacheKeepsOnlyWhatNeverChanges(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	key := newKey(t, false)
	l := heldLease(key)
	token := mustMint(t, b, l)
	first := mustVerify(t, b, token)
	if again := mustVerify(t, b, token); again != first {
		t.Fatal("the second use was verified anew")
	}
	renewed := l
	renewed.Generation++
	wantRefusal(t, first.Standing(renewed), api.StaleGeneration)
	wantRefusal(t, first.Confirm(Use{Op: OpRead}), api.Unauthenticated)
	wantRefusal(t, first.Allow(l, Use{Op: "erase"}), api.CaveatFailed)
	b.SetEpoch(1)
	_, err := b.Verify(token)
	wantRefusal(t, err, api.StaleEpoch, "registration 0", "registration 1")
	b.SetEpoch(0)
	mustVerify(t, b, token)
	c.Add(time.Minute)
	_, err = b.Verify(token)
	wantRefusal(t, err, api.TokenExpired)
}

// Refused tokens are not remembered: they would push out those that are good.
func TestCacheTakesNoJunk(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	good := mustMint(t, b, memLease())
	for _, s := range mutations(good)[:500] {
		if _, err := b.Verify(s); err == nil {
			t.Fatalf("took %q", s)
		}
	}
	if n := len(b.cache.young) + len(b.cache.old); n != 0 {
		t.Errorf("%d refused tokens are remembered", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache()
	for i := range 5 * cacheHalf {
		c.keep(&Verified{text: fmt.Sprint(i)})
		if i > 0 && c.find("0") == nil {
			t.Fatalf("what is asked for all the time is forgotten after %d", i)
		}
		if n := len(c.young) + len(c.old); n > 2*cacheHalf {
			t.Fatalf("%d tokens are remembered", n)
		}
	}
	if c.find("1") != nil {
		t.Error("what nobody asked for is still remembered")
	}
}

// secondUse is a whole check of an operation with a token that was seen before.
func secondUse(b *Broker, token string, l api.Lease, u Use) error {
	v, err := b.Verify(token)
	if err == nil {
		err = v.Standing(l)
	}
	if err == nil {
		err = v.Confirm(u)
	}
	if err == nil {
		err = v.Allow(l, u)
	}
	return err
}

// The second use of a token costs under 2 microseconds, of a chain as well.
func TestSecondUseIsCheap(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	key := newKey(t, true)
	l := heldLease(key)
	root := mustMint(t, b, l)
	u := Use{Op: OpRead, Length: 4096, Key: key.Thumbprint()}
	for name, token := range map[string]string{
		"token": root,
		"chain": mustNarrow(t, key, root, holder.Link{Caveats: holder.Caveats{Ops: []string{OpRead}}}),
	} {
		if err := secondUse(b, token, l, u); err != nil {
			t.Fatal(err)
		}
		const rounds = 1000
		best := time.Hour
		for range 50 { // the machine does other things too: the best round is what it costs
			start := time.Now()
			for range rounds {
				if err := secondUse(b, token, l, u); err != nil {
					t.Fatal(err)
				}
			}
			best = min(best, time.Since(start)/rounds)
			if best < time.Microsecond {
				break
			}
			runtime.Gosched()
		}
		if best > slack(2*time.Microsecond) {
			t.Errorf("%s: %s a use", name, best)
		}
		t.Logf("%s: %s a use", name, best)
	}
}

func BenchmarkVerify(b *testing.B) {
	broker := newBroker(b, "g-1", "aws-1", newClock())
	l := memLease()
	token := mustMint(b, broker, l)
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := broker.prove(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("second", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := secondUse(broker, token, l, Use{Op: OpRead}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
