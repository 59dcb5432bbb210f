package fsm

import (
	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm/internal/cow"
)

// Everything that writes a table is here: the table and its indexes, the fingerprint, those
// who watch, and those who want to know what changed.

// own returns the tables that most entries leave alone, to be changed.
func (s *State) own() *rest {
	if s.rest.edit != s.edit {
		c := *s.rest
		c.edit = s.edit
		s.rest = &c
	}
	return s.rest
}

func (s *State) putProvider(p api.Provider) {
	p.Modified = s.meta.Index
	s.own().providers.Set(s.edit, p.ID, p)
	s.noteValue(tableProviders, &p)
	s.touched.fixed |= 1 << topicCells
	s.touched.cellsOf = add(s.touched.cellsOf, p.ID)
}

// keepCell stores a cell's record, and bars the keys of one that is revoked: it stays so.
func (r *rest) keepCell(e cow.Edit, c api.CellRecord) {
	r.cells.Set(e, c.ID, c)
	if !c.Revoked {
		return
	}
	for _, key := range c.Keys() {
		r.barred.Set(e, text(key), struct{}{})
	}
}

// setCell stores a cell's record; putCell says what that meant.
func (s *State) setCell(c, old api.CellRecord, had bool) {
	s.own().keepCell(s.edit, c)
	s.noteValue(tableCells, &c)
	s.touched.fixed |= 1 << topicCells
	s.touched.cells = append(s.touched.cells, c.ID)
	s.touched.cellsOf = add(s.touched.cellsOf, c.Provider)
	if s.change != nil {
		s.change.Cells = append(s.change.Cells, changedFrom(old, had, c))
	}
}

func (s *State) putTenant(t api.Tenant) {
	t.Modified = s.meta.Index
	old, had := s.tenants.Get(t.ID)
	s.own().tenants.Set(s.edit, t.ID, t)
	s.noteValue(tableTenants, &t)
	s.touched.fixed |= 1 << topicTenants
	if s.change != nil {
		s.change.Tenants = append(s.change.Tenants, changedFrom(old, had, t))
	}
}

func (s *State) dropTenant(id api.TenantID) {
	old, had := s.tenants.Get(id)
	s.own().tenants.Delete(s.edit, id)
	s.noteDrop(tableTenants, string(id))
	s.touched.fixed |= 1 << topicTenants
	if s.change != nil && had {
		s.change.Tenants = append(s.change.Tenants, forgotten(old))
	}
}

// Lease returns a lease's record. Most commands ask for one lease several times in turn.
func (s *State) Lease(id api.LeaseID) (api.Lease, bool) {
	l, ok := s.look(id)
	if !ok {
		return api.Lease{}, false
	}
	return *l, true
}

// look is Lease for who reads the record at once: it is there until the next one is looked at or
// written.
func (s *State) look(id api.LeaseID) (*api.Lease, bool) {
	if !s.seen.valid || s.seen.id != id {
		r, ok := s.leases.get(id, s.meta.Index)
		s.see(id, r, ok)
	}
	return &s.seen.lease, s.seen.ok
}

// lookAt is look for a lease that should have an epoch.
func (s *State) lookAt(id api.LeaseID, epoch uint64) (*api.Lease, bool) {
	if !s.seen.valid || s.seen.id != id {
		r, ok := s.leases.at(id, epoch, s.meta.Index)
		s.see(id, r, ok)
	}
	return &s.seen.lease, s.seen.ok
}

// seenLease is the lease that was read or written last.
type seenLease struct {
	valid bool
	id    api.LeaseID
	lease api.Lease
	ok    bool // it exists
}

func (s *State) see(id api.LeaseID, r leaseRecord, ok bool) {
	s.seen.valid, s.seen.id, s.seen.ok = true, id, ok
	if ok {
		r.readTo(&s.seen.lease)
	}
}

// putLease stores a lease in place of what there is, and keeps what hangs on it.
func (s *State) putLease(l *api.Lease) {
	old, had := s.look(l.ID)
	if !had {
		s.addLease(l)
		return
	}
	before := s.passed
	if before.state == "" {
		before = s.leases.standing(old)
	}
	ends := l.State.Terminal() && !old.State.Terminal()
	s.noteLease(l, old)
	if s.passing && !l.State.Terminal() {
		s.passed = before
		return
	}
	s.passing, s.passed = false, standing{}
	s.leases.set(s.edit, l, leaseRecord(s.rec), before)
	if ends {
		s.shrinkHeld(l.CellID)
		s.shrinkQuotaHeld(l.Tenant)
	}
}

// addLease stores a lease that there was none of before.
func (s *State) addLease(l *api.Lease) {
	s.noteLease(l, nil)
	s.leases.set(s.edit, l, leaseRecord(s.rec), standing{})
}

// noteLease enters a lease into all but its table; s.rec is its record then. old may be the one
// that was seen last: it is not there any more.
func (s *State) noteLease(l, old *api.Lease) {
	l.Modified = s.meta.Index
	s.rec = appendLease(s.rec[:0], l)
	s.note(tableLeases, s.rec)
	s.touched.fixed |= 1 << topicLeases
	s.touched.leases = append(s.touched.leases, l.ID)
	s.touched.cells = add(s.touched.cells, l.CellID)
	s.touched.leasesAt, s.touched.leasesOf = add(s.touched.leasesAt, l.Provider), add(s.touched.leasesOf, l.Tenant)
	if l.RunID != "" {
		s.touched.runs = add(s.touched.runs, l.RunID) // a run is shown with its leases
	}
	if s.change != nil {
		s.change.Leases = append(s.change.Leases, changedLease(old, l))
	}
	// What the tables have next is asked for again by few; what they have not, by the next step.
	s.seen.valid = false
	if s.passing && !l.State.Terminal() {
		s.seen.valid, s.seen.id, s.seen.ok, s.seen.lease = true, l.ID, true, *l
	}
}

func (s *State) dropLease(epoch serial) {
	l := s.lease(epoch)
	s.leases.drop(s.edit, &l, s.meta.Index)
	s.seen.valid = false
	s.noteDrop(tableLeases, string(l.ID))
	if s.change != nil {
		s.change.Leases = append(s.change.Leases, changedLease(&l, nil))
	}
}

func (s *State) putRun(r api.Run) {
	r.Modified = s.meta.Index
	old, had := s.runs.byID.Get(r.ID)
	s.own().runs.set(s.edit, r, old, had)
	s.rec = appendRun(s.rec[:0], &r)
	s.note(tableRuns, s.rec)
	s.touched.fixed |= 1 << topicRuns
	s.touched.runs = append(s.touched.runs, r.ID)
	s.touched.runsAt, s.touched.runsOf = add(s.touched.runsAt, r.Provider), add(s.touched.runsOf, r.Tenant)
	for _, c := range [...]api.CellID{old.CellID, r.CellID} {
		if c != "" {
			s.touched.cells = append(s.touched.cells, c)
		}
	}
	if s.change != nil {
		s.change.Runs = append(s.change.Runs, changedFrom(old, had, r))
	}
}

func (s *State) dropRun(id api.RunID) {
	r, _ := s.Run(id)
	s.own().runs.drop(s.edit, r)
	s.noteDrop(tableRuns, string(id))
	if s.change != nil {
		s.change.Runs = append(s.change.Runs, forgotten(r))
	}
}

func (s *State) putBlob(r BlobRef) {
	r.Modified = s.meta.Index
	old, had := s.blobs.byKey.Get(r.key())
	s.own().blobs.set(s.edit, r, old, had)
	s.noteValue(tableBlobs, &r)
}

func (s *State) dropBlob(r BlobRef) {
	s.own().blobs.drop(s.edit, r)
	s.noteDrop(tableBlobs, r.key())
}

func (s *State) putKey(r IdemRecord) {
	s.rec = appendKey(s.rec[:0], &r)
	s.keys.set(s.edit, &r, keyRecord(s.rec))
	s.note(tableKeys, s.rec)
	if s.change != nil {
		s.change.Keys = append(s.change.Keys, changedFrom(IdemRecord{}, false, r))
	}
}

func (s *State) dropKey(rec keyRecord) {
	r := rec.record()
	s.keys.drop(s.edit, &r, s.meta.Index)
	s.noteDrop(tableKeys, joinKey(r.Scope, r.Key))
	if s.change != nil {
		s.change.Keys = append(s.change.Keys, forgotten(r))
	}
}

func (s *State) putToken(r TokenRecord) {
	r.Modified = s.meta.Index
	s.own().tokens.set(s.edit, r)
	s.noteValue(tableTokens, &r)
}

func (s *State) dropToken(jti string) {
	r, _ := s.Token(jti)
	s.own().tokens.drop(s.edit, r)
	s.noteDrop(tableTokens, jti)
}
