package history

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/grafos/grafos/api"
)

// quotaIn is a grant of n leases to a tenant, or, below zero, their end.
type quotaIn struct {
	tenant api.TenantID
	limit  int
	n      int
}

// quotaModel checks each tenant for itself. The state is how many leases it holds. Refusals
// are not held against it: one is also right when it was another's request that took the
// room and was given up.
func quotaModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
			return partition(ops, func(in any) string { return string(asQuota(in).tenant) })
		},
		Init: func() any { return 0 },
		Step: func(state, in, _ any) (bool, any) {
			q := asQuota(in)
			held := state.(int) + q.n //nolint:forcetypeassert,errcheck // Init and Step make no other
			return held >= 0 && held <= q.limit, held
		},
		DescribeOperation: func(in, _ any) string {
			q := asQuota(in)
			return fmt.Sprintf("%s %+d of %d", q.tenant, q.n, q.limit)
		},
		DescribeState: func(state any) string { return fmt.Sprint(state) },
	}
}

func asQuota(in any) quotaIn { return in.(quotaIn) } //nolint:forcetypeassert,errcheck // nothing else is recorded
