package fsm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/grafos/grafos/fsm/internal/cow"
)

// TestBitset plays random edits against a plain set, and keeps copies, which stay as they were.
func TestBitset(t *testing.T) {
	less := func(a, b tickKey) int {
		switch {
		case a.Less(b):
			return -1
		case b.Less(a):
			return 1
		}
		return 0
	}
	type version struct {
		set  bitset[tickKey]
		want []tickKey
	}
	check := func(t *rapid.T, v *version) {
		var got []tickKey
		v.set.Scan(func(k tickKey) bool { got = append(got, k); return true })
		if !slices.Equal(got, v.want) || v.set.Len() != len(v.want) {
			t.Fatalf("%d: %v, want %v", v.set.Len(), got, v.want)
		}
		if k, ok := v.set.Min(); ok != (len(v.want) > 0) || ok && k != v.want[0] {
			t.Fatalf("min %v %v, want %v", k, ok, v.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.Custom(func(t *rapid.T) tickKey {
			return tickKey{rapid.Uint64Range(0, 2).Draw(t, "at"), serial(rapid.Uint64Range(0, 200).Draw(t, "epoch"))}
		})
		var now version
		var old []version
		edit := cow.Edit(1)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			k := key.Draw(t, "key")
			at, has := slices.BinarySearchFunc(now.want, k, less)
			if now.set.Has(k) != has {
				t.Fatalf("has %v: %v", k, !has)
			}
			if rapid.Bool().Draw(t, "set") {
				if now.set.Set(edit, k); !has {
					now.want = slices.Insert(slices.Clone(now.want), at, k)
				}
			} else if now.set.Delete(edit, k); has {
				now.want = slices.Delete(slices.Clone(now.want), at, at+1)
			}
			if rapid.IntRange(0, 9).Draw(t, "copy") == 0 {
				old = append(old, now)
				edit++
			}
		}
		check(t, &now)
		for i := range old {
			check(t, &old[i])
		}
		from, limit := key.Draw(t, "from"), rapid.IntRange(1, 20).Draw(t, "limit")
		var got []tickKey
		now.set.Ascend(from, func(k tickKey) bool { got = append(got, k); return len(got) < limit })
		at, _ := slices.BinarySearchFunc(now.want, from, less)
		if want := now.want[at:min(len(now.want), at+limit)]; !slices.Equal(got, want) {
			t.Fatalf("from %v: %v, want %v", from, got, want)
		}
	})
}
