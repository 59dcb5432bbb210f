package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/grafos/grafos/api"
)

// snapshotBlock is how much is written at a time.
const snapshotBlock = 256 << 10

// snapshotWriter writes frames and remembers the first error.
type snapshotWriter struct {
	codec codec
	out   io.Writer
	sum   hash.Hash
	block []byte // not written yet
	rec   []byte // scratch
	cbor  bytes.Buffer
	foot  snapshotFoot
	err   error
}

// WriteSnapshot streams the view. Two views of the same state write the same bytes.
func (v *View) WriteSnapshot(w io.Writer) error {
	cd, err := newCodec()
	if err != nil {
		return err
	}
	sw := &snapshotWriter{codec: cd, out: w, sum: sha256.New(), block: make([]byte, 0, snapshotBlock+4096)}
	sw.block = append(sw.block, snapshotMagic...)
	sw.value(frameHead, &snapshotHead{Version: snapshotVersion, Level: v.meta.Level})
	sw.value(frameMeta, v.meta.written())
	sw.tables(v)
	sw.value(frameFoot, &sw.foot)
	sw.flush()
	if sw.err == nil {
		_, sw.err = w.Write(sw.sum.Sum(nil))
	}
	if sw.err != nil {
		return fmt.Errorf("write snapshot at index %d: %w", v.Index(), sw.err)
	}
	return nil
}

// written returns the state beside the tables as a snapshot holds it.
func (m *meta) written() *snapshotMeta {
	return &snapshotMeta{
		ClusterID: m.ClusterID, Index: m.Index, Now: m.Now, Wall: m.Wall, Epoch: m.Epoch, ClusterEpoch: m.ClusterEpoch,
		Recoveries: m.Recoveries, Audit: m.Audit, Fingerprint: hex.EncodeToString(m.Fingerprint[:]),
	}
}

func (w *snapshotWriter) tables(v *View) {
	writeTable(w, tableProviders, &v.providers)
	writeTable(w, tableCells, &v.cells)
	writeTable(w, tableTenants, &v.tenants)
	v.leases.byEpoch.Scan(func(_ serial, r leaseRecord) bool {
		return w.record(tableLeases, append(w.rec[:0], r...))
	})
	v.runs.byID.tree.Scan(func(_ text, r *api.Run) bool {
		return w.record(tableRuns, appendRun(w.rec[:0], r))
	})
	writeTable(w, tableBlobs, &v.blobs.byKey)
	v.keys.byAge.Scan(func(_ useKey, r keyRecord) bool {
		return w.record(tableKeys, append(w.rec[:0], r...))
	})
	writeTable(w, tableTokens, &v.tokens.byID)
}

func writeTable[K ~string, V any](w *snapshotWriter, t table, m *records[K, V]) {
	m.Scan(func(_ K, v V) bool {
		w.value(byte(t), &v)
		w.foot.Records[t]++
		return w.err == nil
	})
}

// record writes the compact form of a record; false ends the walk.
func (w *snapshotWriter) record(t table, rec []byte) bool {
	w.rec = rec
	w.frame(byte(t), rec)
	w.foot.Records[t]++
	return w.err == nil
}

// value writes a frame of CBOR.
func (w *snapshotWriter) value(mark byte, value any) {
	if w.err != nil {
		return
	}
	w.cbor.Reset()
	if w.err = w.codec.enc.MarshalToBuffer(value, &w.cbor); w.err == nil {
		w.frame(mark, w.cbor.Bytes())
	}
}

func (w *snapshotWriter) frame(mark byte, body []byte) {
	if w.err == nil && len(body) > maxRecord {
		w.err = fmt.Errorf("a record of table %d has %d bytes, over %d", mark, len(body), maxRecord)
	}
	if w.err != nil {
		return
	}
	w.block = append(appendUint(append(w.block, mark), uint64(len(body))), body...)
	if len(w.block) >= snapshotBlock {
		w.flush()
	}
}

func (w *snapshotWriter) flush() {
	if w.err != nil {
		return
	}
	w.sum.Write(w.block)
	_, w.err = w.out.Write(w.block)
	w.block = w.block[:0]
}
