package fsm

import "github.com/grafos/grafos/api"

// Run returns a run's record.
func (v *View) Run(id api.RunID) (api.Run, bool) { return v.runs.byID.Get(id) }

// RunsOn lists the runs that are placed or running on a cell, by id.
func (v *View) RunsOn(c api.CellID) []api.Run {
	return owned(&v.runs.onCell, string(c), &v.runs.byID)
}

// RunsChangedOn lists the runs of a cell, in any state, whose record changed after an index,
// oldest change first.
func (v *View) RunsChangedOn(c api.CellID, after uint64) []api.Run {
	return changed(&v.runs.changed, string(c), after, &v.runs.byID)
}

// LostRuns lists at most limit runs whose last attempt was lost and that wait to be placed
// again, the longest waiting first.
func (v *View) LostRuns(limit int) []api.Run {
	var list []api.Run
	v.runs.waiting.Scan(func(k ageKey, _ struct{}) bool {
		if len(list) >= limit {
			return false
		}
		r, _ := v.runs.byID.Get(api.RunID(k.id))
		list = append(list, r)
		return true
	})
	return list
}

// ScanRuns visits every run, by id, until visit returns false.
func (v *View) ScanRuns(visit func(api.Run) bool) {
	v.runs.byID.Scan(func(_ api.RunID, r api.Run) bool { return visit(r) })
}
