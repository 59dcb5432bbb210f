package cellagent

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// ordinals is the GPUs that a cell offered when its agent started: the place of one is its ordinal, for
// as long as the agent runs.
type ordinals []api.GPU

// ordinalsOf takes as many GPUs of an inventory as can have an ordinal.
func ordinalsOf(inv api.Inventory) ordinals {
	return slices.Clone(inv.GPUs[:min(len(inv.GPUs), api.MaxGPUOrdinals)])
}

// in returns a later inventory with the GPUs of the start, up to the first that the host has not any more:
// what comes after that one keeps its ordinal and is not offered before it is back. One without an address was
// never there. GPUs that were added wait for the next agent.
func (o ordinals) in(inv api.Inventory, host []api.GPU) api.Inventory {
	n := 0
	for n < len(o) && (o[n].Address == "" || slices.ContainsFunc(host, func(g api.GPU) bool { return g.Address == o[n].Address })) {
		n++
	}
	inv.GPUs, inv.GPUCount = slices.Clone(o[:n]), n
	return inv
}
