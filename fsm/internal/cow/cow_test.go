package cow

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

type num uint64

func (n num) Less(o num) bool { return n < o }

// check finds a tree whose nodes are not as their comments say.
func (t *Tree[K, V]) check() error {
	var keys []K
	depths := map[int]bool{}
	var walk func(p *part, depth int, low *K) error
	walk = func(p *part, depth int, low *K) error {
		if p == nil {
			return nil
		}
		if p.leaf {
			l := leafOf[K, V](p)
			depths[depth] = true
			if l.n < 1 || l.n > leafMax {
				return fmt.Errorf("a leaf of %d", l.n)
			}
			if low != nil && l.keys[0].Less(*low) {
				return fmt.Errorf("key %v is below its bound %v", l.keys[0], *low)
			}
			keys = append(keys, l.keys[:l.n]...)
			return nil
		}
		b := branchOf[K, V](p)
		if b.n < 1 || b.n > branchMax || depth == 0 && b.n < 2 {
			return fmt.Errorf("a branch of %d at depth %d", b.n, depth)
		}
		for i := range b.n {
			bound := low
			if i > 0 {
				if bound = &b.keys[i]; len(keys) > 0 && !keys[len(keys)-1].Less(*bound) {
					return fmt.Errorf("bound %v is not above %v", *bound, keys[len(keys)-1])
				}
			}
			if err := walk(b.kids[i], depth+1, bound); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(t.root, 0, nil); err != nil {
		return err
	}
	if len(depths) > 1 {
		return fmt.Errorf("leaves at depths %v", slices.Collect(maps.Keys(depths)))
	}
	if t.last != nil {
		keys = append(keys, t.last.keys[:t.last.n]...)
		if t.last.n == 0 {
			return fmt.Errorf("the last leaf is empty")
		}
	} else if len(keys) > 0 {
		return fmt.Errorf("there is no last leaf")
	}
	for i := 1; i < len(keys); i++ {
		if !keys[i-1].Less(keys[i]) {
			return fmt.Errorf("%v before %v", keys[i-1], keys[i])
		}
	}
	if len(keys) != t.n {
		return fmt.Errorf("%d keys, %d are counted", len(keys), t.n)
	}
	return nil
}

// copied is a copy with what was in it when it was made.
type copied struct {
	tree  Tree[num, int]
	model map[num]int
}

func (c *copied) check(t *rapid.T) {
	t.Helper()
	if err := c.tree.check(); err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(maps.Keys(c.model))
	var got []num
	c.tree.Scan(func(k num, v int) bool {
		if v != c.model[k] {
			t.Fatalf("key %d has %d, want %d", k, v, c.model[k])
		}
		got = append(got, k)
		return true
	})
	if !slices.Equal(got, want) {
		t.Fatalf("keys %v, want %v", got, want)
	}
	if k, v, ok := c.tree.Min(); ok != (len(want) > 0) || ok && (k != want[0] || v != c.model[k]) {
		t.Fatalf("min %d %d %v, want %v", k, v, ok, want)
	}
}

// TestTree plays random edits and keeps copies: whatever happens to the tree afterwards, they
// stay as they were.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var now copied
		now.model = map[num]int{}
		var old []*copied
		edit, next := Edit(1), num(1000)
		span := rapid.SampledFrom([]int{20, 200, 5000}).Draw(t, "span")
		for range rapid.IntRange(1, 60).Draw(t, "rounds") {
			n := rapid.IntRange(1, 80).Draw(t, "n")
			switch what := rapid.IntRange(0, 6).Draw(t, "what"); what {
			case 6: // in place
				for range n {
					now.change(t, edit, num(rapid.IntRange(0, span).Draw(t, "key")))
				}
			case 0: // in order, as most indexes grow
				for range n {
					next++
					now.set(t, edit, next)
				}
			case 1, 2:
				for range n {
					now.set(t, edit, num(rapid.IntRange(0, span).Draw(t, "key")))
				}
			case 3: // the oldest first, as most indexes shrink
				for range n {
					if k, _, ok := now.tree.Min(); ok {
						now.remove(t, edit, k)
					}
				}
			default:
				keys := slices.Sorted(maps.Keys(now.model))
				for range n {
					k := num(rapid.IntRange(0, span).Draw(t, "key"))
					if what == 5 && len(keys) > 0 {
						k = rapid.SampledFrom(keys).Draw(t, "one")
					}
					now.remove(t, edit, k)
				}
			}
			if rapid.Bool().Draw(t, "copy") {
				old = append(old, &copied{now.tree, maps.Clone(now.model)})
				edit++
			}
			now.check(t)
		}
		for _, c := range old {
			c.check(t)
		}
		from := num(rapid.IntRange(0, span).Draw(t, "from"))
		var got, want []num
		now.tree.Ascend(from, func(k num, _ int) bool { got = append(got, k); return len(got) < 50 })
		for _, k := range slices.Sorted(maps.Keys(now.model)) {
			if k >= from && len(want) < 50 {
				want = append(want, k)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("from %d: %v, want %v", from, got, want)
		}
	})
}

func (c *copied) set(t *rapid.T, e Edit, k num) {
	v := int(e)*100_000 + len(c.model)
	old, had := c.tree.Set(e, k, v)
	if was, ok := c.model[k]; had != ok || old != was {
		t.Fatalf("set %d: %d %v, want %d %v", k, old, had, was, ok)
	}
	c.model[k] = v
	if got, ok := c.tree.Get(k); !ok || got != v {
		t.Fatalf("get %d: %d %v, want %d", k, got, ok, v)
	}
}

func (c *copied) change(t *rapid.T, e Edit, k num) {
	was, had := c.model[k]
	v := c.tree.Own(e, k)
	if (v != nil) != had || had && *v != was {
		t.Fatalf("own %d: %v, want %d %v", k, v, was, had)
	}
	if had {
		*v++
		c.model[k] = was + 1
	}
}

func (c *copied) remove(t *rapid.T, e Edit, k num) {
	old, had := c.tree.Delete(e, k)
	if was, ok := c.model[k]; had != ok || old != was {
		t.Fatalf("delete %d: %d %v, want %d %v", k, old, had, was, ok)
	}
	delete(c.model, k)
	if _, ok := c.tree.Get(k); ok || c.tree.Len() != len(c.model) {
		t.Fatalf("%d is still there, or %d are counted of %d", k, c.tree.Len(), len(c.model))
	}
}

// Keys that come in order leave full leaves behind, and nothing is copied but the last leaf.
func TestTreeIsDense(t *testing.T) {
	var tr Tree[num, struct{}]
	for i := range num(100_000) {
		tr.Set(Edit(i+1), i, struct{}{})
	}
	leaves := 0
	var walk func(p *part)
	walk = func(p *part) {
		if p.leaf {
			leaves++
			return
		}
		for _, kid := range branchOf[num, struct{}](p).kids[:p.n] {
			walk(kid)
		}
	}
	walk(tr.root)
	if err := tr.check(); err != nil || leaves > 100_000/leafMax {
		t.Errorf("%d leaves: %v", leaves, err)
	}
	edit := Edit(1 << 20)
	if n := testing.AllocsPerRun(leafMax/2, func() { edit++; tr.Set(edit, num(edit), struct{}{}) }); n > 2 {
		t.Errorf("%v nodes are made for one key", n)
	}
}

// A hash map is checked in the same way, also where all hashes are alike.
func TestHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := map[string]func(uint64) uint64{
			"good":     func(k uint64) uint64 { return k * 0x9e3779b97f4a7c15 },
			"few":      func(k uint64) uint64 { return k % 3 },
			"one":      func(uint64) uint64 { return 7 },
			"high bit": func(k uint64) uint64 { return k%2<<63 | 5 },
			"low bits": func(k uint64) uint64 { return k << 40 },
		}
		hash := kinds[rapid.SampledFrom(slices.Sorted(maps.Keys(kinds))).Draw(t, "hash")]
		type pair struct{ k, v uint64 }
		type version struct {
			h     Hash[pair]
			model map[uint64]uint64
		}
		now := version{model: map[uint64]uint64{}}
		is := func(k uint64) func(pair) bool { return func(p pair) bool { return p.k == k } }
		check := func(v version) {
			if v.h.Len() != len(v.model) {
				t.Fatalf("%d are counted of %d", v.h.Len(), len(v.model))
			}
			for k := range uint64(130) {
				got, ok := v.h.Get(hash(k), is(k))
				if want, had := v.model[k]; ok != had || got.v != want {
					t.Fatalf("get %d: %d %v, want %d %v", k, got.v, ok, want, had)
				}
			}
		}
		var old []version
		edit := Edit(1)
		for i := range rapid.IntRange(1, 400).Draw(t, "steps") {
			k := rapid.Uint64Range(0, 120).Draw(t, "key")
			if rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				now.h.Set(edit, hash(k), pair{k, uint64(i)}, is(k))
				now.model[k] = uint64(i)
			} else {
				was, had := now.model[k]
				if got, ok := now.h.Delete(edit, hash(k), is(k)); ok != had || got.v != was {
					t.Fatalf("delete %d: %v %v, want %d %v", k, got, ok, was, had)
				}
				delete(now.model, k)
			}
			if rapid.IntRange(0, 9).Draw(t, "copy") == 0 {
				old = append(old, version{now.h, maps.Clone(now.model)})
				edit++
			}
		}
		check(now)
		for _, v := range old {
			check(v)
			found := map[uint64]bool{}
			now.h.Differ(&v.h, func(p pair) { found[p.k] = true })
			for k := range uint64(130) {
				is, here := now.model[k]
				was, there := v.model[k]
				if (here != there || is != was) && !found[k] {
					t.Fatalf("%d was %d (%v) and is %d (%v): no difference was found", k, was, there, is, here)
				}
			}
		}
		now.h.Differ(&now.h, func(p pair) { t.Fatalf("%v differs from itself", p) })
		for k := range now.model {
			now.h.Delete(edit, hash(k), is(k))
		}
		if now.h.root != nil || now.h.Len() != 0 {
			t.Fatal("an empty map keeps nodes")
		}
	})
}
