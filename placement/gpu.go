package placement

import (
	"strconv"

	"github.com/grafos/grafos/api"
)

// Choose picks the devices of a cell that a request would get, and says how many of them nobody has
// yet; false is that there are not enough.
func (c *Cell) Choose(r *Request) (ordinals []int, fresh int64, ok bool) {
	g := api.GPUTerms{Class: r.GPUClass, ShareMilli: r.GPUShare}
	return c.GPUs.Choose(r.Tenant, &g, r.Resources.GPU, c.Capacity.GPU, max(c.Free.GPU, 0))
}

// takes is what a request takes of the cell: of gpus that are shared only those that nobody has yet.
func (c *Cell) takes(r *Request) api.Resources {
	if r.GPUClass == "" || r.Resources.GPU == 0 {
		return r.Resources
	}
	if _, fresh, ok := c.Choose(r); ok {
		return r.Resources.With(api.KindGPU, fresh)
	}
	// Fewer than are asked for have room, and so fewer are free.
	return r.Resources
}

// sharing says how the gpus were asked for that a cell has not.
func sharing(r *Request) string {
	if r.GPUClass == "" {
		return ""
	}
	s := ", and with those that others have there are not enough for class " + string(r.GPUClass)
	if share := (&api.GPUTerms{Class: r.GPUClass, ShareMilli: r.GPUShare}).Share(); share != api.WholeGPU {
		s += " with " + strconv.FormatInt(share, 10) + " thousandths of each"
	}
	return s
}
