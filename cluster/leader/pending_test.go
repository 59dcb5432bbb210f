package leader

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/fsm"
)

// TestReportsShareAnEntry: bindings wait while others are outstanding, teardowns for whatever
// comes, both for a bounded time; nothing else waits, and what does goes with it.
func TestReportsShareAnEntry(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		one, two := r.admit(grant(1)).Leases[0], r.admit(grant(1)).Leases[0]
		count := func() (n int) {
			r.change(func() { n = len(r.entries) })
			return n
		}
		// took runs what is done together and says how long that took, and how many entries.
		took := func(do ...func()) (time.Duration, int) {
			before, began := count(), time.Now()
			done := make(chan struct{})
			for _, f := range do {
				go func() { f(); done <- struct{}{} }()
				synctest.Wait()
			}
			for range do {
				<-done
			}
			return time.Since(began), count() - before
		}
		expect := func(what string, wait time.Duration, do ...func()) {
			t.Helper()
			if d, n := took(do...); d != wait || n != 1 {
				t.Errorf("%s: %d entries in %v, want one in %v", what, n, d, wait)
			}
		}
		bind := func() { r.bind(one) }
		expect("all that are outstanding", 0, bind, func() { r.bind(two) })
		one, two = r.admit(grant(1)).Leases[0], r.admit(grant(1)).Leases[0]
		expect("one of two", boundPatience, bind)
		expect("the last one", 0, func() { r.bind(two) })
		expect("a teardown", endedPatience, func() { r.tearDown(one) })
		three := fsm.Result{}
		expect("a teardown and a grant", 0, func() { r.tearDown(two) }, func() { three = r.admit(grant(1)) })
		expect("a binding alone", 0, func() { r.bind(three.Leases[0]) })
		four, five := r.admit(grant(1)).Leases[0], r.admit(grant(1)).Leases[0]
		expect("a teardown and a binding", boundPatience, func() { r.tearDown(three.Leases[0]) }, func() { r.bind(four) })
		r.bind(five)

		for range muchGoesOn - 1 {
			r.admit(grant(1))
		}
		expect("a grant where little goes on", 0, func() { r.admit(grant(1)) })
		expect("a grant where much goes on", grantPatience, func() { r.admit(grant(1)) })
		expect("two of them", grantPatience, func() { r.admit(grant(1)) }, func() { r.admit(grant(1)) })
		unbound := func() int { return r.m.View().Unbound() }
		admits := func(n int) []func() { return slices.Repeat([]func(){func() { r.admit(grant(1)) }}, n) }
		expect("enough of them", 0, admits(enough(unbound()))...)
		each := time.Duration(unbound()) * patienceEach
		if each <= grantPatience {
			t.Fatalf("only %d outstanding", unbound())
		}
		expect("a grant alone where hundreds are outstanding", grantPatience, admits(1)...)
		expect("some where hundreds are", time.Duration(unbound())*patienceEach, admits(unbound()/crowdParts+1)...)
		for range 10 {
			took(admits(enough(0))...)
		}
		if time.Duration(unbound())*patienceEach <= mostPatience {
			t.Fatalf("only %d outstanding", unbound())
		}
		expect("a grant alone where a thousand are", grantPatience, admits(1)...)
		expect("some where a thousand are", mostPatience, admits(unbound()/crowdParts+1)...)
		expect("what were enough where few are", mostPatience, admits(enough(0))...)
		expect("a grant and what waits for nobody", 0, func() { r.admit(grant(1)) }, func() { r.must(fsm.Tick{}) })
	})
}

// TestEnoughIsWhatAnEntryTakes: however many are outstanding, a full entry waits for nothing.
func TestEnoughIsWhatAnEntryTakes(t *testing.T) {
	for _, unbound := range []int{0, muchToDo, 10 * maxGroup} {
		if enough(unbound) > maxGroup || worthAnother(unbound) > enough(unbound) {
			t.Errorf("%d outstanding: enough is %d, worth another %d, an entry takes %d", unbound, enough(unbound), worthAnother(unbound), maxGroup)
		}
	}
}
