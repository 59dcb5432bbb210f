package fsm

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
)

// loader puts records into a state that is not in use yet. Every record of one state has one
// form and one place in a snapshot, so that there is one snapshot of it.
type loader struct {
	state *State
	codec codec
	foot  snapshotFoot
	table table
	key   string // of the record before, in tables ordered by their keys
	old   bool   // version 1
	keys  []IdemRecord
}

// begin takes the state beside the tables.
func (l *loader) begin(m *snapshotMeta, level Level) *SnapshotError {
	if _, err := hex.DecodeString(m.Audit.Hash); err != nil || len(m.Audit.Hash) != 2*sha256.Size {
		return refuseSnapshot(FaultContent, nil, "its audit head is no hash")
	}
	sum, ok := fromHex(m.Fingerprint)
	if !ok && (m.Fingerprint != "" || m.Index != 0) {
		return refuseSnapshot(FaultContent, nil, "its fingerprint is no hash")
	}
	if level < 1 || m.Now < 0 || m.Now > maxTick || m.Wall < 0 || m.Wall > maxWall || len(m.Recoveries) > maxRecoveries {
		return refuseSnapshot(FaultContent, nil, "its time, feature level or list of recoveries cannot be")
	}
	l.state.meta = meta{
		ClusterID: m.ClusterID, Index: m.Index, Now: m.Now, Wall: m.Wall, Epoch: m.Epoch, ClusterEpoch: m.ClusterEpoch,
		Recoveries: m.Recoveries, Level: level, Audit: m.Audit, Fingerprint: sum,
	}
	return nil
}

// load takes one record.
func (l *loader) load(t table, body []byte) error {
	if t < l.table {
		return fmt.Errorf("it comes behind table %d: the tables are out of order", l.table)
	}
	if t > l.table {
		l.table, l.key = t, ""
	}
	var err error
	switch {
	case l.old:
		err = l.loadOne(t, body)
	case t == tableLeases:
		err = l.lease(leaseRecord(body))
	case t == tableRuns:
		err = l.run(string(body))
	case t == tableKeys:
		err = l.idemKey(keyRecord(body))
	default:
		err = l.value(t, body)
	}
	if err != nil {
		return err
	}
	l.foot.Records[t]++
	return nil
}

// noRecord is of bytes that are no record, or another form of one.
func noRecord() error { return errors.New("these bytes are no record") }

func (l *loader) lease(rec leaseRecord) error {
	v, ok := rec.read()
	if !ok {
		return noRecord()
	}
	s := l.state
	if s.rec = appendLease(s.rec[:0], &v); string(s.rec) != string(rec) {
		return noRecord()
	}
	if err := l.trustLease(&v); err != nil {
		return err
	}
	if v.Epoch <= l.last() {
		return fmt.Errorf("lease %s of epoch %d is out of order", v.ID, v.Epoch)
	}
	s.leases.set(s.edit, &v, rec, standing{})
	return nil
}

// last returns the epoch of the lease that was loaded last.
func (l *loader) last() uint64 {
	epoch, _, _ := l.state.leases.byEpoch.Max()
	return uint64(epoch)
}

func (l *loader) run(rec string) error {
	v, ok := readRun(rec)
	if !ok || string(appendRun(l.state.rec[:0], &v)) != rec {
		return noRecord()
	}
	if err := trustRun(v); err != nil {
		return err
	}
	if err := l.inOrder(string(v.ID)); err != nil {
		return err
	}
	l.state.runs.set(l.state.edit, v, api.Run{}, false)
	return nil
}

func (l *loader) idemKey(rec keyRecord) error {
	s := l.state
	v, ok := rec.read()
	if !ok || !v.used().of(&v) || string(appendKey(s.rec[:0], &v)) != string(rec) {
		return noRecord()
	}
	at, _, had := s.keys.byAge.Max()
	if had && !at.Less(v.used()) {
		return fmt.Errorf("key %q is out of order", v.Key)
	}
	if _, twice := s.keys.get(v.Scope, v.Key, s.meta.Index); twice {
		return fmt.Errorf("key %q is there twice", v.Key)
	}
	if !mutant.On(mutant.ForgetKeys) {
		s.keys.set(s.edit, &v, rec)
	}
	return nil
}

// inOrder checks that a key is behind the one before.
func (l *loader) inOrder(key string) error {
	if key <= l.key && l.foot.Records[l.table] > 0 {
		return fmt.Errorf("key %q is out of order", key)
	}
	l.key = key
	return nil
}

// value takes a record in CBOR.
func (l *loader) value(t table, body []byte) error {
	s := l.state
	switch t {
	case tableProviders:
		return loadValue(l, body, func(v api.Provider) string { return string(v.ID) }, func(v api.Provider) { s.providers.Set(s.edit, v.ID, v) })
	case tableCells:
		return loadValue(l, body, func(v api.CellRecord) string { return string(v.ID) }, func(v api.CellRecord) { s.keepCell(s.edit, v) })
	case tableTenants:
		return loadValue(l, body, func(v api.Tenant) string { return string(v.ID) }, func(v api.Tenant) { s.tenants.Set(s.edit, v.ID, v) })
	case tableBlobs:
		return loadValue(l, body, BlobRef.key, func(v BlobRef) { s.blobs.set(s.edit, v, BlobRef{}, false) })
	case tableTokens:
		return loadValue(l, body, func(v TokenRecord) string { return v.JTI }, func(v TokenRecord) { s.tokens.set(s.edit, v) })
	case tableLeases, tableRuns, tableKeys:
	}
	return errors.New("this node does not know the table")
}

func loadValue[V any](l *loader, body []byte, key func(V) string, set func(V)) error {
	var v V
	if err := l.codec.dec.Unmarshal(body, &v); err != nil {
		return err
	}
	if err := l.inOrder(key(v)); err != nil {
		return err
	}
	set(v)
	return nil
}

// maxTick keeps sums of ticks from overflowing.
const maxTick = api.Tick(1) << 61

// trustLease refuses what would make indexes or sums wrong: a state, kind or amount that does
// not exist, a time that cannot be, an id or epoch that another lease has.
func (l *loader) trustLease(v *api.Lease) error {
	if codeOfState(v.State) == 0 || codeOfKind(v.Kind) == 0 || v.Amount < 1 || v.Amount > api.MaxAmount {
		return fmt.Errorf("lease %s is in a state, or of a kind or amount, that does not exist", v.ID)
	}
	for _, t := range [...]api.Tick{v.Granted, v.Expires, v.Ended, v.ForceAt, api.Tick(v.TTLMs)} {
		if t < 0 || t > maxTick {
			return fmt.Errorf("lease %s has a time that cannot be", v.ID)
		}
	}
	if v.Epoch < 1 || v.Epoch > l.state.meta.Epoch {
		return fmt.Errorf("lease %s has epoch %d, the newest is %d", v.ID, v.Epoch, l.state.meta.Epoch)
	}
	if _, twice := l.state.leases.get(v.ID, l.state.meta.Index); twice {
		return fmt.Errorf("lease %s is there twice", v.ID)
	}
	return nil
}

// trustRun refuses a state that does not exist.
func trustRun(r api.Run) error {
	switch r.State {
	case api.RunAdmitted, api.RunPlaced, api.RunRunning, api.RunSucceeded, api.RunFailed, api.RunExpired, api.RunRevoked, api.RunLost:
		return nil
	}
	return fmt.Errorf("run %s is in a state that does not exist", r.ID)
}
