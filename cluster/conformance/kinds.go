package conformance

import (
	"context"

	"github.com/grafos/grafos/api"
)

// plan is how a kind is proved. A kind that comes new has a line in plans.
type plan struct {
	kind api.LeaseKind
	// amount is what is leased where there is as much, least what there must be.
	amount, least int64
	// bytes says that the lease has bytes on the data plane. Of any other a good token proves the lease
	// and opens nothing: its cell says caveat_failed where it would have refused a bad one earlier.
	bytes bool
	// use is what is done with the kind beyond the bytes of a lease; nil is nothing.
	use func(ctx context.Context, p *probe)
	// alone is the same, while the suite has no other lease of the kind.
	alone func(ctx context.Context, p *probe)
}

// size is what is leased of mem and block: more than one piece of a transfer, so that a second one is looked at too.
const size = 384 << 10

// plans is the table of the kinds.
func plans() []plan {
	return []plan{
		{kind: api.KindMem, amount: size, least: 16 << 10, bytes: true},
		{kind: api.KindBlock, amount: size, least: 16 << 10, bytes: true},
		{kind: api.KindCPU, amount: 100, least: 1, use: useCPU},
		{kind: api.KindNet, amount: 1 << 20, least: 1, alone: useNet},
		{kind: api.KindGPU, amount: 1, least: 1, alone: useGPU},
	}
}

// offered is the part of the table that a cell has something of.
func offered(c *api.CellRecord) []plan {
	var have []plan
	for _, p := range plans() {
		if c.Capacity.Get(p.kind) > 0 {
			have = append(have, p)
		}
	}
	return have
}

// Kinds are those of a cell that a suite proves.
func Kinds(c *api.CellRecord) []api.LeaseKind {
	kinds := []api.LeaseKind{}
	for _, p := range offered(c) {
		kinds = append(kinds, p.kind)
	}
	return kinds
}
