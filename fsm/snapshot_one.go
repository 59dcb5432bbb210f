package fsm

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/grafos/grafos/api"
)

// Version 1 of a snapshot: every record in CBOR under its JSON names, every table by its keys,
// the state beside them in the head. It is read, and no longer written.

type headOne struct {
	Version int     `json:"version"`
	Meta    metaOne `json:"meta"`
}

type metaOne struct {
	ClusterID   string        `json:"cluster_id"`
	Index       uint64        `json:"index"`
	Now         api.Tick      `json:"now_tick"`
	Wall        int64         `json:"wall_ms"`
	Epoch       uint64        `json:"epoch"`
	Audit       api.AuditHead `json:"audit"`
	Fingerprint string        `json:"fingerprint"`
}

// headOne takes the head of version 1, which knew one feature level.
func (l *loader) headOne(body []byte) *SnapshotError {
	var head headOne
	if err := l.codec.dec.Unmarshal(body, &head); err != nil {
		return refuseSnapshot(FaultContent, err, "its head cannot be read")
	}
	l.old = true
	m := head.Meta
	return l.begin(&snapshotMeta{
		ClusterID: m.ClusterID, Index: m.Index, Now: m.Now, Wall: m.Wall, Epoch: m.Epoch, Audit: m.Audit, Fingerprint: m.Fingerprint,
	}, 1)
}

// loadOne takes a record of version 1.
func (l *loader) loadOne(t table, body []byte) error {
	s := l.state
	switch t {
	case tableLeases:
		var v api.Lease
		if err := l.codec.dec.Unmarshal(body, &v); err != nil {
			return err
		}
		if err := l.trustLease(&v); err != nil {
			return err
		}
		if r, twice := s.leases.byEpoch.Get(serial(v.Epoch)); twice {
			return fmt.Errorf("leases %s and %s have the same epoch %d", r.id(), v.ID, v.Epoch)
		}
		if err := l.inOrder(string(v.ID)); err != nil {
			return err
		}
		s.leases.set(s.edit, &v, leaseRecord(appendLease(s.rec[:0], &v)), standing{})
		return nil
	case tableRuns:
		var v api.Run
		if err := l.codec.dec.Unmarshal(body, &v); err != nil {
			return err
		}
		if err := trustRun(v); err != nil {
			return err
		}
		if err := l.inOrder(string(v.ID)); err != nil {
			return err
		}
		s.runs.set(s.edit, v, api.Run{}, false)
		return nil
	case tableKeys:
		var v IdemRecord
		if err := l.codec.dec.Unmarshal(body, &v); err != nil {
			return err
		}
		if err := l.inOrder(joinKey(v.Scope, v.Key)); err != nil {
			return err
		}
		if !v.used().of(&v) {
			return noRecord()
		}
		l.keys = append(l.keys, v)
		return nil
	case tableProviders, tableCells, tableTenants, tableBlobs, tableTokens:
	}
	return l.value(t, body)
}

// finishOne numbers the keys of each entry, which version 1 did not.
func (l *loader) finishOne() {
	slices.SortStableFunc(l.keys, func(a, b IdemRecord) int { return cmp.Compare(a.Index, b.Index) })
	var before IdemRecord
	for _, v := range l.keys {
		if v.Index == before.Index {
			v.Sub = before.Sub + 1
		}
		before = v
		s := l.state
		s.keys.set(s.edit, &v, keyRecord(appendKey(s.rec[:0], &v)))
	}
}
