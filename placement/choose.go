package placement

import (
	"cmp"
	"slices"

	"github.com/grafos/grafos/api"
)

// Pick returns the cell that Choose would choose, without the explanation; false when
// Choose would refuse. It is the path of an admission that goes well.
func Pick(v *View, r Request) (api.CellID, bool) {
	if !v.Known || !v.Provider.Enabled || r.Quota.Exceeded(r.Used, r.InUse, r.Resources, int64(r.Leases)) != nil {
		return "", false
	}
	best := pick(v, r.Resources)
	if best == nil {
		return "", false
	}
	return best.ID, true
}

func pick(v *View, ask api.Resources) *Cell {
	var best *Cell
	var most int64
	for i := range v.Cells {
		c := &v.Cells[i]
		if reach(c, ask) != stageFits {
			continue
		}
		if s := score(c, ask); best == nil || s > most || s == most && c.ID < best.ID {
			best, most = c, s
		}
	}
	return best
}

// Choose decides and explains: what an admission would decide now, and what every cell had
// against it. Candidates are in order: the best first, then those with vetoes, by id.
func Choose(v View, r Request) api.Plan {
	plan := api.Plan{Provider: r.Provider, Decision: api.DecisionRefuse, Candidates: candidates(&v, r.Resources)}
	if e := refusal(&v, r); e != nil {
		e.Provider, e.Candidates = r.Provider, plan.Candidates
		plan.Refusal = e
		return plan
	}
	best := pick(&v, r.Resources)
	plan.Decision, plan.CellID = api.DecisionAdmit, best.ID
	plan.Score, plan.Components = score(best, r.Resources), components(best, r.Resources)
	return plan
}

func candidates(v *View, ask api.Resources) []api.Candidate {
	list := make([]api.Candidate, 0, len(v.Cells))
	for i := range v.Cells {
		c := &v.Cells[i]
		k := api.Candidate{CellID: c.ID, Vetoes: []api.Veto{}}
		if reach(c, ask) == stageFits {
			k.Score, k.Components = score(c, ask), components(c, ask)
		} else {
			k.Vetoes = vetoes(c, ask)
		}
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b api.Candidate) int {
		return cmp.Or(cmp.Compare(min(len(a.Vetoes), 1), min(len(b.Vetoes), 1)), cmp.Compare(b.Score, a.Score), cmp.Compare(a.CellID, b.CellID))
	})
	return list
}
