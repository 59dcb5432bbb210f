package fsm

import "github.com/grafos/grafos/api"

// Everything that writes a table is here: the table and its indexes, the fingerprint, those
// who watch, and those who want to know what changed.

func (s *State) putProvider(p api.Provider) {
	p.Modified = s.meta.Index
	s.providers.Set(s.edit, p.ID, p)
	s.noteValue(tableProviders, &p)
	s.touched.fixed |= 1 << topicCells
}

// setCell stores a cell's record; putCell says what that meant.
func (s *State) setCell(c, old api.CellRecord, had bool) {
	s.cells.Set(s.edit, c.ID, c)
	s.noteValue(tableCells, &c)
	s.touched.fixed |= 1 << topicCells
	s.touched.cells = append(s.touched.cells, c.ID)
	if s.change != nil {
		s.change.Cells = append(s.change.Cells, changedFrom(old, had, c))
	}
}

func (s *State) putTenant(t api.Tenant) {
	t.Modified = s.meta.Index
	old, had := s.tenants.Get(t.ID)
	s.tenants.Set(s.edit, t.ID, t)
	s.noteValue(tableTenants, &t)
	s.touched.fixed |= 1 << topicTenants
	if s.change != nil {
		s.change.Tenants = append(s.change.Tenants, changedFrom(old, had, t))
	}
}

func (s *State) dropTenant(id api.TenantID) {
	old, had := s.tenants.Get(id)
	s.tenants.Delete(s.edit, id)
	s.noteDrop(tableTenants, string(id))
	s.touched.fixed |= 1 << topicTenants
	if s.change != nil && had {
		s.change.Tenants = append(s.change.Tenants, forgotten(old))
	}
}

// putLease stores a lease and keeps what hangs on it.
func (s *State) putLease(l api.Lease) {
	l.Modified = s.meta.Index
	var was api.Lease
	var old *api.Lease
	if r, had := s.leases.get(l.ID); had {
		was = r.lease()
		old = &was
	}
	s.rec = appendLease(s.rec[:0], &l)
	s.leases.set(s.edit, &l, leaseRecord(s.rec), old)
	s.note(tableLeases, s.rec)
	s.touched.fixed |= 1 << topicLeases
	s.touched.leases = append(s.touched.leases, l.ID)
	s.touched.cells = append(s.touched.cells, l.CellID)
	if s.change != nil {
		s.change.Leases = append(s.change.Leases, changedLease(old, &l))
	}
	if old != nil && l.State.Terminal() && !old.State.Terminal() {
		s.shrinkHeld(l.CellID)
		s.shrinkQuotaHeld(l.Tenant)
	}
}

func (s *State) dropLease(epoch serial) {
	l := s.lease(epoch)
	s.leases.drop(s.edit, &l)
	s.noteDrop(tableLeases, string(l.ID))
	if s.change != nil {
		s.change.Leases = append(s.change.Leases, changedLease(&l, nil))
	}
}

func (s *State) putRun(r api.Run) {
	r.Modified = s.meta.Index
	old, had := s.runs.byID.Get(r.ID)
	s.runs.set(s.edit, r, old, had)
	s.rec = appendRun(s.rec[:0], &r)
	s.note(tableRuns, s.rec)
	s.touched.fixed |= 1 << topicRuns
	s.touched.runs = append(s.touched.runs, r.ID)
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
	s.runs.drop(s.edit, r)
	s.noteDrop(tableRuns, string(id))
	if s.change != nil {
		s.change.Runs = append(s.change.Runs, forgotten(r))
	}
}

func (s *State) putBlob(r BlobRef) {
	r.Modified = s.meta.Index
	old, had := s.blobs.byKey.Get(r.key())
	s.blobs.set(s.edit, r, old, had)
	s.noteValue(tableBlobs, &r)
}

func (s *State) dropBlob(r BlobRef) {
	s.blobs.drop(s.edit, r)
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
	s.keys.drop(s.edit, &r)
	s.noteDrop(tableKeys, joinKey(r.Scope, r.Key))
	if s.change != nil {
		s.change.Keys = append(s.change.Keys, forgotten(r))
	}
}

func (s *State) putToken(r TokenRecord) {
	r.Modified = s.meta.Index
	s.tokens.set(s.edit, r)
	s.noteValue(tableTokens, &r)
}

func (s *State) dropToken(jti string) {
	r, _ := s.Token(jti)
	s.tokens.drop(s.edit, r)
	s.noteDrop(tableTokens, jti)
}
