package history

import (
	"fmt"
	"slices"

	"github.com/grafos/grafos/api"
)

// reading is one answer to a read.
type reading struct {
	process      string
	call, answer int64
	index        uint64
	lease        api.Lease
}

// checkReads holds reads of any consistency against each other: no process of a scheduler
// goes back, no record is newer than the state that it was read from, and a record that was
// last changed by an entry is the same wherever it is read.
func checkReads(reads []reading) []string {
	var faults []string
	type version struct {
		id       api.LeaseID
		modified uint64
	}
	said := map[version]reading{}
	for _, r := range reads {
		if r.lease.Modified > r.index {
			faults = append(faults, fmt.Sprintf("%s told at index %d of lease %s, which entry %d changed", r.process, r.index, r.lease.ID, r.lease.Modified))
		}
		v := version{r.lease.ID, r.lease.Modified}
		if other, ok := said[v]; ok && !sameRecord(other.lease, r.lease) {
			faults = append(faults, fmt.Sprintf("entry %d made lease %s %+v on %s and %+v on %s", v.modified, v.id, other.lease, other.process, r.lease, r.process))
		}
		said[v] = r
	}
	byProcess := map[string][]reading{}
	for _, r := range reads {
		byProcess[r.process] = append(byProcess[r.process], r)
	}
	for _, of := range byProcess {
		faults = append(faults, checkForward(of)...)
	}
	slices.Sort(faults)
	return faults
}

func sameRecord(a, b api.Lease) bool {
	return a.State == b.State && a.Generation == b.Generation && a.Epoch == b.Epoch && a.Expires == b.Expires &&
		a.BoundGeneration == b.BoundGeneration && a.CellID == b.CellID && a.Reason == b.Reason
}

// checkForward finds a read of one process that began when another had been answered, with a
// lower index.
func checkForward(reads []reading) []string {
	byCall, byAnswer := slices.Clone(reads), slices.Clone(reads)
	slices.SortFunc(byCall, func(a, b reading) int { return int(a.call - b.call) })
	slices.SortFunc(byAnswer, func(a, b reading) int { return int(a.answer - b.answer) })
	var faults []string
	var newest reading // of those that were answered before the one that is looked at
	i := 0
	for _, r := range byCall {
		for ; i < len(byAnswer) && byAnswer[i].answer < r.call; i++ {
			if byAnswer[i].index > newest.index {
				newest = byAnswer[i]
			}
		}
		if r.index < newest.index {
			faults = append(faults, fmt.Sprintf("%s answered index %d, and after that index %d", r.process, newest.index, r.index))
		}
	}
	return faults
}
