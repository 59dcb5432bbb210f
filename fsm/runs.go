package fsm

import (
	"github.com/tidwall/btree"

	"github.com/grafos/grafos/api"
)

// runTable is the runs, their indexes and how often each blob is named by one. Only set and
// drop write it.
type runTable struct {
	byID    records[api.RunID, api.Run]
	onCell  *btree.BTreeG[ownKey]    // I3: placed and running, by cell
	changed *btree.BTreeG[changeKey] // I3: all that have a cell, by cell and index of change
	tenant  *btree.BTreeG[liveKey]   // I3: all, by tenant
	waiting *btree.BTreeG[ageKey]    // I3: admitted, to be placed again
	ended   *btree.BTreeG[ageKey]    // I3: finalised, by the tick of their end
	digests *btree.Map[api.Digest, int]
	live    int
}

func newRunTable() runTable {
	return runTable{
		byID:    newRecords[api.RunID, api.Run](),
		onCell:  newIndex[ownKey](),
		changed: newIndex[changeKey](),
		tenant:  newIndex[liveKey](),
		waiting: newIndex[ageKey](),
		ended:   newIndex[ageKey](),
		digests: btree.NewMap[api.Digest, int](0),
	}
}

func (t *runTable) copy() runTable {
	c := *t
	c.byID, c.onCell, c.changed = t.byID.Copy(), t.onCell.Copy(), t.changed.Copy()
	c.tenant, c.waiting, c.ended = t.tenant.Copy(), t.waiting.Copy(), t.ended.Copy()
	c.digests = t.digests.Copy()
	return c
}

// set stores r in place of old, where there is one, and keeps the indexes.
func (t *runTable) set(r, old api.Run, had bool) {
	t.byID.Set(r.ID, r)
	id := string(r.ID)
	onCell := func(r api.Run) bool { return r.State == api.RunPlaced || r.State == api.RunRunning }
	waits := func(r api.Run) bool { return r.State == api.RunAdmitted }

	move(t.onCell, ownKey{string(old.CellID), id}, had && onCell(old), ownKey{string(r.CellID), id}, onCell(r))
	move(t.changed, changeKey{string(old.CellID), old.Modified, id}, had && old.CellID != "",
		changeKey{string(r.CellID), r.Modified, id}, r.CellID != "")
	move(t.tenant, liveKey{string(old.Tenant), old.State.Terminal(), id}, had, liveKey{string(r.Tenant), r.State.Terminal(), id}, true)
	move(t.waiting, ageKey{int64(old.Modified), id}, had && waits(old), ageKey{int64(r.Modified), id}, waits(r))
	move(t.ended, ageKey{int64(old.Ended), id}, had && old.Finalised, ageKey{int64(r.Ended), id}, r.Finalised)
	t.refer(r, 1)
	if had {
		t.refer(old, -1)
	}
	if was, is := had && !old.State.Terminal(), !r.State.Terminal(); was != is {
		t.live += sign(is)
	}
}

// drop removes r from the table and all its indexes.
func (t *runTable) drop(r api.Run) {
	id := string(r.ID)
	t.byID.Delete(r.ID)
	t.onCell.Delete(ownKey{string(r.CellID), id})
	t.changed.Delete(changeKey{string(r.CellID), r.Modified, id})
	t.tenant.Delete(liveKey{string(r.Tenant), r.State.Terminal(), id})
	t.waiting.Delete(ageKey{int64(r.Modified), id})
	t.ended.Delete(ageKey{int64(r.Ended), id})
	t.refer(r, -1)
	if !r.State.Terminal() {
		t.live--
	}
}

// refer counts the blobs that r names up or down.
func (t *runTable) refer(r api.Run, by int) {
	for _, d := range digestsOf(r) {
		n, _ := t.digests.Get(d)
		keep(t.digests, d, n+by, n+by == 0)
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
