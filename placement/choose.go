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
	best := pick(v, &r)
	if best == nil {
		return "", false
	}
	return best.ID, true
}

func pick(v *View, r *Request) *Cell {
	var best *Cell
	var most int64
	ask, shared := r.Resources, r.GPUClass != ""
	for i := range v.Cells {
		c := &v.Cells[i]
		if shared {
			ask = c.takes(r)
		}
		if reach(c, ask) != stageFits {
			continue
		}
		if s := score(c, ask); best == nil || s > most { // of two alike the first, by id
			best, most = c, s
		}
	}
	return best
}

// Choose decides and explains: what an admission would decide now, and what every cell had
// against it. Candidates are in order: the best first, then those with vetoes, by id.
func Choose(v View, r Request) api.Plan {
	plan := api.Plan{Provider: r.Provider, Decision: api.DecisionRefuse, Candidates: candidates(&v, &r)}
	if e := refusal(&v, r); e != nil {
		e.Provider, e.Candidates = r.Provider, plan.Candidates
		plan.Refusal = e
		return plan
	}
	best := &plan.Candidates[0] // there is one without vetoes, or it would have been refused
	plan.Decision, plan.CellID = api.DecisionAdmit, best.CellID
	plan.Score, plan.Components = best.Score, best.Components
	return plan
}

// rank is what a candidate's place depends on, without the pointers that make sorting
// candidates themselves slow.
type rank struct {
	cell   int   // its place in the view
	score  int64 // of one without vetoes
	vetoed bool
}

func candidates(v *View, r *Request) []api.Candidate {
	ranks := make([]rank, len(v.Cells))
	for i := range v.Cells {
		c := &v.Cells[i]
		ask := c.takes(r)
		ranks[i] = rank{cell: i, vetoed: reach(c, ask) != stageFits}
		if !ranks[i].vetoed {
			ranks[i].score = score(c, ask)
		}
	}
	slices.SortFunc(ranks, func(a, b rank) int { return v.better(a, b) })
	list := make([]api.Candidate, len(ranks))
	none := []api.Veto{} // not null in JSON; shared, since nobody can append into it
	for i, at := range ranks {
		c := &v.Cells[at.cell]
		list[i] = api.Candidate{CellID: c.ID, Score: at.score, Vetoes: none}
		if at.vetoed {
			list[i].Vetoes = vetoes(c, r)
		} else {
			list[i].Components = components(c, c.takes(r))
		}
	}
	return list
}

// better orders candidates: those without vetoes first, by score, then by id.
func (v *View) better(a, b rank) int {
	switch {
	case a.vetoed != b.vetoed && b.vetoed:
		return -1
	case a.vetoed != b.vetoed:
		return 1
	case a.score != b.score:
		return cmp.Compare(b.score, a.score)
	}
	return cmp.Compare(v.Cells[a.cell].ID, v.Cells[b.cell].ID)
}
