package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/store/disk"
)

// Missing returns the records to fetch from a peer next, at most MaxBackfill of them: the
// newest that are not held although later ones are. Newest first, because a page is proved
// by the record after it, and only the end of the chain is known to be true.
func (a *Audit) Missing() (from, to uint64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from, to, _, ok = a.newestGap()
	return from, to, ok
}

// newestGap returns the newest page that is missing, and the segment that follows it.
func (a *Audit) newestGap() (from, to uint64, after int, ok bool) {
	for i, seg := range slices.Backward(a.segs) {
		before := uint64(0)
		if i > 0 {
			before = a.segs[i-1].last
		}
		if before+1 < seg.first {
			from = before + 1
			if n := seg.first - before - 1; n > MaxBackfill {
				from = seg.first - MaxBackfill
			}
			return from, seg.first - 1, i, true
		}
	}
	return 0, 0, 0, false
}

// Backfill takes what Missing named, or the later part of it, from a peer. The records must
// chain to one another and to what is held on both sides; nothing is taken of a page that
// does not. They are on disk when it returns.
func (a *Audit) Backfill(recs []api.AuditRecord) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.fault.Err(); err != nil {
		return err
	}
	from, to, after, ok := a.newestGap()
	if !ok {
		return errors.New("backfill audit records: none is missing")
	}
	if err := a.checkPage(recs, from, to, after); err != nil {
		return fmt.Errorf("backfill audit records %d to %d: %w", from, to, err)
	}
	seg, err := writeSegment(a.dir, recs)
	if err != nil {
		return a.failed(disk.Explain("backfill audit records in", a.dir, err))
	}
	a.segs = slices.Insert(a.segs, after, seg)
	return nil
}

func (a *Audit) checkPage(recs []api.AuditRecord, from, to uint64, after int) error {
	n := len(recs)
	if n == 0 || recs[0].Sequence < from || recs[n-1].Sequence != to {
		return errors.New("the page does not end where the gap ends")
	}
	chain := api.NewAuditVerifier(api.AuditHead{Sequence: recs[0].Sequence - 1, Hash: recs[0].PrevHash})
	for _, rec := range recs {
		if err := chain.Next(rec); err != nil {
			return err
		}
	}
	if recs[n-1].Hash != a.segs[after].prevHash {
		return fmt.Errorf("record %d is not the one that record %d chains to", to, to+1)
	}
	before := api.AuditHead{Hash: api.AuditGenesis}
	if after > 0 {
		before = api.AuditHead{Sequence: a.segs[after-1].last, Hash: a.segs[after-1].lastHash}
	}
	if recs[0].Sequence == before.Sequence+1 && recs[0].PrevHash != before.Hash {
		return &CorruptError{File: a.dir, Index: before.Sequence, Why: "the chain that the cluster agreed on does not go through it"}
	}
	return nil
}

// writeSegment makes a whole segment, under its name only when it is on disk.
func writeSegment(dir string, recs []api.AuditRecord) (segment, error) {
	var lines []byte
	for _, rec := range recs {
		var data bytes.Buffer
		if err := json.Compact(&data, rec.Data); err != nil { // a peer sent it
			return segment{}, fmt.Errorf("compact event data of audit record %d: %w", rec.Sequence, err)
		}
		rec.Data = data.Bytes()
		var err error
		if lines, err = appendRecord(lines, rec); err != nil {
			return segment{}, err
		}
	}
	last := recs[len(recs)-1]
	seg := segment{
		path:  filepath.Join(dir, segmentName(recs[0].Sequence)),
		first: recs[0].Sequence, last: last.Sequence, prevHash: recs[0].PrevHash, lastHash: last.Hash,
	}
	return seg, disk.WriteFile(seg.path, lines)
}
