package fsm

import (
	"slices"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm/internal/cow"
)

// runTable is the runs, their indexes and how often each blob is named by one. Only set and
// drop write it.
type runTable struct {
	byID    records[api.RunID, api.Run]
	onCell  set[ownKey]    // I3: placed and running, by cell
	changed set[changeKey] // I3: all that have a cell, by cell and index of change
	tenant  set[liveKey]   // I3: all, by tenant
	waiting set[ageKey]    // I3: admitted, to be placed again
	ended   set[ageKey]    // I3: finalised, by the tick of their end
	digests sums[api.Digest]
	live    int
}

// set stores r in place of old, where there is one, and keeps the indexes.
func (t *runTable) set(e cow.Edit, r, old api.Run, had bool) {
	t.byID.Set(e, r.ID, r)
	id := string(r.ID)
	onCell := func(r api.Run) bool { return r.State == api.RunPlaced || r.State == api.RunRunning }
	waits := func(r api.Run) bool { return r.State == api.RunAdmitted }

	move(e, &t.onCell, ownKey{string(old.CellID), id}, had && onCell(old), ownKey{string(r.CellID), id}, onCell(r))
	move(e, &t.changed, changeKey{string(old.CellID), old.Modified, id}, had && old.CellID != "",
		changeKey{string(r.CellID), r.Modified, id}, r.CellID != "")
	move(e, &t.tenant, liveKey{string(old.Tenant), old.State.Terminal(), id}, had, liveKey{string(r.Tenant), r.State.Terminal(), id}, true)
	move(e, &t.waiting, ageKey{int64(old.Modified), id}, had && waits(old), ageKey{int64(r.Modified), id}, waits(r))
	move(e, &t.ended, ageKey{int64(old.Ended), id}, had && old.Finalised, ageKey{int64(r.Ended), id}, r.Finalised)
	if !had || !slices.Equal(r.Artifacts, old.Artifacts) { // the rest of what it names never changes
		t.refer(e, r, 1)
		if had {
			t.refer(e, old, -1)
		}
	}
	if was, is := had && !old.State.Terminal(), !r.State.Terminal(); was != is {
		t.live += sign(is)
	}
}

// drop removes r from the table and all its indexes.
func (t *runTable) drop(e cow.Edit, r api.Run) {
	id := string(r.ID)
	t.byID.Delete(e, r.ID)
	t.onCell.Delete(e, ownKey{string(r.CellID), id})
	t.changed.Delete(e, changeKey{string(r.CellID), r.Modified, id})
	t.tenant.Delete(e, liveKey{string(r.Tenant), r.State.Terminal(), id})
	t.waiting.Delete(e, ageKey{int64(r.Modified), id})
	t.ended.Delete(e, ageKey{int64(r.Ended), id})
	t.refer(e, r, -1)
	if !r.State.Terminal() {
		t.live--
	}
}

// refer counts the blobs that r names up or down.
func (t *runTable) refer(e cow.Edit, r api.Run, by int) {
	for _, d := range digestsOf(r) {
		t.digests.add(e, d, by)
	}
}

// digestsOf lists the blobs that a run names.
func digestsOf(r api.Run) []api.Digest {
	ds := make([]api.Digest, 0, 3+len(r.Artifacts))
	for _, d := range []api.Digest{r.Module, r.Input, r.Invocation} {
		if d != "" {
			ds = append(ds, d)
		}
	}
	for _, a := range r.Artifacts {
		ds = append(ds, a.Digest)
	}
	return ds
}

func sign(up bool) int {
	if up {
		return 1
	}
	return -1
}
