package netlab

import (
	"testing"
	"time"
)

const ms = time.Millisecond

func TestPlan(t *testing.T) {
	// chances are what chance returns, in order.
	for name, c := range map[string]struct {
		link    Link
		lane    lane
		chances []float64
		want    []time.Duration
	}{
		"perfect":                 {want: []time.Duration{100 * ms}},
		"cut":                     {link: Link{Cut: true}},
		"lost":                    {link: Link{Loss: 0.2}, chances: []float64{0.19}},
		"not lost":                {link: Link{Loss: 0.2}, chances: []float64{0.2}, want: []time.Duration{100 * ms}},
		"delay and jitter":        {link: Link{Delay: 20 * ms, Jitter: 10 * ms}, chances: []float64{0.5}, want: []time.Duration{125 * ms}},
		"jitter keeps the order":  {link: Link{Delay: 20 * ms}, lane: lane{last: 150 * ms}, want: []time.Duration{150 * ms}},
		"reordered overtakes":     {link: Link{Delay: 20 * ms, Reorder: 0.5}, lane: lane{last: 150 * ms}, chances: []float64{0.4}, want: []time.Duration{100 * ms}},
		"doubled":                 {link: Link{Delay: 20 * ms, Duplicate: 0.5}, chances: []float64{0.4}, want: []time.Duration{120 * ms, 120 * ms}},
		"rate":                    {link: Link{Rate: 80_000}, want: []time.Duration{110 * ms}}, // 100 bytes at 10 bytes a ms
		"rate after another":      {link: Link{Rate: 80_000}, lane: lane{free: 300 * ms}, want: []time.Duration{310 * ms}},
		"rate with too long line": {link: Link{Rate: 80_000}, lane: lane{free: 601 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			chance := func() float64 {
				x := c.chances[0]
				c.chances = c.chances[1:]
				return x
			}
			got := c.lane.plan(c.link, 100*ms, 100, chance)
			if got.n != len(c.want) {
				t.Fatalf("got %v of %v, want %v", got.n, got.at, c.want)
			}
			for i, want := range c.want {
				if got.at[i] != want {
					t.Errorf("copy %d arrives at %s, want %s", i, got.at[i], want)
				}
			}
			if len(c.chances) > 0 {
				t.Errorf("%d chances are left", len(c.chances))
			}
		})
	}
}

// TestNet: a split cuts what lies between its sides and nothing else, and a copy is a copy.
func TestNet(t *testing.T) {
	n := &Net{index: map[string]int{"a": 0, "b": 1, "c": 2}, links: make([]Link, 9)}
	before := n.clone()
	n.Split([]string{"a"}, []string{"b", "c"})
	n.Link("b", "c").Loss = 0.5
	for pair, want := range map[[2]int]Link{
		{0, 1}: {Cut: true}, {1, 0}: {Cut: true}, {0, 2}: {Cut: true}, {2, 0}: {Cut: true}, {1, 2}: {Loss: 0.5}, {2, 1}: {},
	} {
		if got := n.at(pair[0], pair[1]); got != want {
			t.Errorf("from %d to %d: %+v, want %+v", pair[0], pair[1], got, want)
		}
		if got := before.at(pair[0], pair[1]); got != (Link{}) {
			t.Errorf("the copy from %d to %d became %+v", pair[0], pair[1], got)
		}
	}
	n.Heal()
	if got := n.at(0, 1); got != (Link{}) {
		t.Errorf("healed: %+v", got)
	}
}
