package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// Digests lists at most limit of the blobs that something refers to, in order, those after
// one of them.
func (v *View) Digests(after api.Digest, limit int) []api.Digest {
	list := append(named(&v.blobs.digests, after, limit), named(&v.runs.digests, after, limit)...)
	slices.Sort(list)
	list = slices.Compact(list)
	return list[:min(len(list), limit)]
}

// named lists the keys of sums after one of them.
func named[K ~string](s *sums[K], after K, limit int) []K {
	var list []K
	s.tree.Ascend(text(after), func(key text, _ int) bool {
		if K(key) != after {
			list = append(list, K(key))
		}
		return len(list) < limit
	})
	return list
}
