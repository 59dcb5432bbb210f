package cellagent

import (
	"fmt"
	"slices"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestOrdinalsStay: whatever the host's cards become, an ordinal is the card that it was when the agent
// started, and none that cannot be leased is told.
func TestOrdinalsStay(t *testing.T) {
	cards := func(addresses ...string) []api.GPU {
		out := []api.GPU{}
		for _, a := range addresses {
			out = append(out, api.GPU{Model: "H100", Address: a})
		}
		return out
	}
	later := func(o Offer, start, now []api.GPU) []api.GPU {
		t.Helper()
		known := ordinalsOf(o.over(api.Inventory{GPUs: start, GPUCount: len(start)}, 0))
		got := known.in(o.over(api.Inventory{GPUs: now, GPUCount: len(now)}, 0), now)
		if got.GPUCount != len(got.GPUs) {
			t.Errorf("%d gpus are counted of %v", got.GPUCount, got.GPUs)
		}
		return got.GPUs
	}
	more := Offer{GPUs: []string{"h100", "h100"}, Overcommit: true}
	for name, tt := range map[string]struct {
		offer            Offer
		start, now, want []api.GPU
	}{
		"all":              {Offer{}, cards("a", "b", "c"), cards("a", "b", "c"), cards("a", "b", "c")},
		"the first is off": {Offer{}, cards("a", "b", "c"), cards("b", "c"), cards()},
		"one between":      {Offer{}, cards("a", "b", "c"), cards("a", "c"), cards("a")},
		"another order":    {Offer{}, cards("a", "b"), cards("b", "a"), cards("a", "b")},
		"one more before":  {Offer{}, cards("b", "c"), cards("a", "b", "c"), cards("b", "c")},
		"another fits too": {Offer{GPUs: []string{"h100"}}, cards("b"), cards("a", "b"), cards("b")},
		"not another one":  {Offer{GPUs: []string{"h100"}}, cards("a", "b"), cards("b"), cards()},
		"never there":      {more, cards("b"), cards("a", "b"), []api.GPU{{Model: "H100", Address: "b"}, {Model: "h100"}}},
		"not any more":     {more, cards("a", "b"), cards("a"), cards("a")},
		"none":             {Offer{}, cards(), cards("a"), cards()},
	} {
		if got := later(tt.offer, tt.start, tt.now); !slices.Equal(got, tt.want) {
			t.Errorf("%s: offered are %v, want %v", name, got, tt.want)
		}
	}
	var many []string
	for i := range api.MaxGPUOrdinals + 1 {
		many = append(many, fmt.Sprint(i))
	}
	if got := later(Offer{}, cards(many...), cards(many...)); len(got) != api.MaxGPUOrdinals {
		t.Errorf("%d gpus of %d are told, want %d", len(got), len(many), api.MaxGPUOrdinals)
	}
}
