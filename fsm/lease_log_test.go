package fsm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A log knows every change since an index or says that it does not, in the version that is asked,
// whatever was added or cut since; and it goes back as far as it is to.
func TestLeaseLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			log leaseLog
			all []tickKey
		}
		var now version
		var old []version
		check := func(v version) {
			for _, after := range []uint64{0, v.log.floor, v.log.newest / 2, v.log.newest - min(v.log.newest, 3), v.log.newest} {
				var got, want []tickKey
				known := v.log.since(after, func(k tickKey) { got = append(got, k) })
				for _, k := range slices.Backward(v.all) {
					if k.at > after {
						want = append(want, k)
					}
				}
				if known && !slices.Equal(got, want) {
					t.Fatalf("after %d: %v, want %v", after, got, want)
				}
			}
		}
		keep := rapid.IntRange(0, 400).Draw(t, "keep")
		at := uint64(0)
		for i := range rapid.IntRange(1, 3000).Draw(t, "changes") {
			at += uint64(rapid.IntRange(0, 2).Draw(t, "step"))
			if i < 20 && rapid.IntRange(0, 9).Draw(t, "loaded") == 0 && at > 5 && at-5 < now.log.newest {
				now.log.add(at-5, serial(i), keep) // forgets what was before
				now.all = nil
				continue
			}
			now.log.add(at, serial(i), keep)
			now.all = append(now.all, tickKey{at, serial(i)})
			if back := max(keep, leastLog/2); len(now.all) > back && i >= 20 {
				if k := now.all[len(now.all)-1-back]; !now.log.since(k.at, func(tickKey) {}) {
					t.Fatalf("%d changes are not held", keep)
				}
			}
			if now.log.held > 2*max(keep, leastLog/2) {
				t.Fatalf("%d changes are held", now.log.held)
			}
			if rapid.IntRange(0, 99).Draw(t, "copy") == 0 {
				old = append(old, version{now.log, slices.Clone(now.all)})
			}
		}
		check(now)
		for _, v := range old {
			check(v)
		}
	})
}
