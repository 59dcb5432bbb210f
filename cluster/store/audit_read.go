package store

import (
	"fmt"
	"os"
	"sort"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/store/disk"
)

// MissingError says that records are not held here; a peer has them.
type MissingError struct{ From, To uint64 }

// Missing returns the range.
func (e *MissingError) Missing() (from, to uint64) { return e.From, e.To }

// Error names the range.
func (e *MissingError) Error() string {
	return fmt.Sprintf("audit records %d to %d are not on this scheduler yet", e.From, e.To)
}

// Read returns the records from f.From to f.To that match f, oldest first, at most f.Limit
// and never more than MaxAuditPage. next continues the read where it is not zero, which it
// may be after an empty page too. It returns a *MissingError where it meets a gap.
func (a *Audit) Read(f api.AuditFilter) (recs []api.AuditRecord, next uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tail != nil {
		if err := a.tail.buf.Flush(); err != nil {
			return nil, 0, a.failed(disk.Explain("write audit segment", a.tail.f.Name(), err))
		}
	}
	from, to := max(f.From, 1), a.head().Sequence
	if f.To != 0 {
		to = min(to, f.To)
	}
	limit := f.Limit
	if limit <= 0 || limit > MaxAuditPage {
		limit = MaxAuditPage
	}
	stop := min(to, from+maxAuditScan-1)
	for from <= stop {
		i, err := a.find(from)
		if err != nil {
			return nil, 0, err
		}
		recs, from, err = a.readSegment(i, from, stop, limit, f, recs)
		if err != nil {
			return nil, 0, err
		}
		if len(recs) == limit {
			break
		}
	}
	if from <= to {
		next = from
	}
	return recs, next, nil
}

// readSegment appends the matching records of segment i to recs and returns the sequence
// after the last one that it looked at.
func (a *Audit) readSegment(i int, from, stop uint64, limit int, f api.AuditFilter, recs []api.AuditRecord) ([]api.AuditRecord, uint64, error) {
	seg := a.segs[i]
	scan, err := a.scan(i)
	if err != nil {
		return nil, 0, err
	}
	file, err := os.Open(seg.path)
	if err != nil {
		return nil, 0, fmt.Errorf("read audit segment: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	for ; from <= min(stop, seg.last) && len(recs) < limit; from++ {
		at := scan.lines[from-seg.first]
		line := make([]byte, at.n)
		if _, err := file.ReadAt(line, at.off); err != nil {
			return nil, 0, fmt.Errorf("read audit record %d: %w", from, err)
		}
		rec, err := parseRecord(line)
		if err != nil || rec.Sequence != from || rec.Hash != at.hash {
			return nil, 0, &CorruptError{File: seg.path, Index: from, Why: "it changed since it was verified"}
		}
		if (f.Kind == "" || f.Kind == rec.Kind) && (f.Identity == "" || f.Identity == rec.Identity) {
			recs = append(recs, rec)
		}
	}
	return recs, from, nil
}

// find returns the segment that holds seq, which is not above the head.
func (a *Audit) find(seq uint64) (int, error) {
	i := sort.Search(len(a.segs), func(i int) bool { return a.segs[i].last >= seq })
	if i == len(a.segs) {
		return 0, &MissingError{From: seq, To: seq}
	}
	if a.segs[i].first > seq {
		return 0, &MissingError{From: seq, To: a.segs[i].first - 1}
	}
	return i, nil
}

// scan returns where the records of segment i stand, verified. A segment that is found to be
// damaged is cut, so that what it lost is Missing from then on.
func (a *Audit) scan(i int) (segmentScan, error) {
	seg := a.segs[i]
	if a.cached.path == seg.path {
		return a.cached.scan, nil
	}
	if a.tail != nil && i == len(a.segs)-1 {
		if err := a.tail.buf.Flush(); err != nil {
			return segmentScan{}, a.failed(disk.Explain("write audit segment", a.tail.f.Name(), err))
		}
	}
	scan, err := scanSegment(seg.path, seg.first)
	if err != nil {
		return segmentScan{}, err
	}
	if want := seg.last - seg.first + 1; scan.bad != "" || uint64(len(scan.lines)) != want {
		return segmentScan{}, a.cutSegment(i, scan)
	}
	a.cached = cachedScan{path: seg.path, scan: scan}
	return scan, nil
}

// cutSegment cuts segment i down to what scan verified and returns what is missing now. The
// last segment is open for writing; it is refused instead, and cut by the next OpenAudit.
func (a *Audit) cutSegment(i int, scan segmentScan) error {
	seg := a.segs[i]
	at := seg.first + uint64(len(scan.lines))
	why := scan.bad
	if why == "" {
		why = fmt.Sprintf("it holds %d records where %d were", len(scan.lines), seg.last-seg.first+1)
	}
	if i == len(a.segs)-1 {
		return a.failed(&CorruptError{File: seg.path, Index: at, Why: why})
	}
	scan.torn = false
	if err := a.cutFile(seg.path, scan); err != nil {
		return a.failed(err)
	}
	if len(scan.lines) == 0 {
		a.segs = append(a.segs[:i:i], a.segs[i+1:]...)
	} else {
		a.segs[i] = scan.segment(seg.path, seg.first)
	}
	return &MissingError{From: at, To: seg.last}
}

// hashAt returns the hash of a record that is held.
func (a *Audit) hashAt(seq uint64) (hash string, held bool, err error) {
	i, err := a.find(seq)
	if err != nil {
		return "", false, nil //nolint:nilerr // a gap is no fault here
	}
	scan, err := a.scan(i)
	if _, missing := err.(*MissingError); missing { //nolint:errorlint // made just above, never wrapped
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return scan.lines[seq-a.segs[i].first].hash, true, nil
}
