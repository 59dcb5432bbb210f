package placement

import "github.com/grafos/grafos/api"

// The weights of a score. Work is spread first, since the loss of a cell then costs less,
// and packed second, so that large requests find whole cells.
const (
	spreadWeight = 700
	fitWeight    = 300
	// spreadHalf is at how many leases a cell has half of the points for spreading.
	spreadHalf = 8
)

// spread is 0 to spreadWeight: more for a cell with fewer leases.
func spread(c *Cell) int64 {
	return spreadWeight * spreadHalf / int64(spreadHalf+c.Leases)
}

// fit is 0 to fitWeight: more for a cell that the request fills better, by the resource
// that it fills most.
func fit(c *Cell, ask api.Resources) int64 {
	var most int64
	for _, k := range api.LeaseKinds() {
		total := c.Capacity.Get(k)
		if ask.Get(k) == 0 || total == 0 {
			continue
		}
		used := total - c.Free.Get(k) + ask.Get(k)
		most = max(most, share(used, total))
	}
	return most
}

// share is part of total in units of fitWeight. MaxAmount keeps the product in range.
func share(part, total int64) int64 { return min(part*fitWeight/max(total, 1), fitWeight) }

func score(c *Cell, ask api.Resources) int64 { return spread(c) + fit(c, ask) }

func components(c *Cell, ask api.Resources) api.Components {
	return api.Components{"spread": spread(c), "fit": fit(c, ask)}
}
