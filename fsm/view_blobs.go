package fsm

import "github.com/grafos/grafos/api"

// Digests lists at most limit of the blobs that something refers to, in order, those after
// one of them.
func (v *View) Digests(after api.Digest, limit int) []api.Digest {
	first, second := v.blobs.digests.Iter(), v.runs.digests.Iter()
	a, b := first.Seek(after), second.Seek(after)
	var list []api.Digest
	for (a || b) && len(list) < limit {
		var d api.Digest
		switch {
		case !b || a && first.Key() < second.Key():
			d, a = first.Key(), first.Next()
		case !a || second.Key() < first.Key():
			d, b = second.Key(), second.Next()
		default:
			d, a, b = first.Key(), first.Next(), second.Next()
		}
		if d != after {
			list = append(list, d)
		}
	}
	return list
}
