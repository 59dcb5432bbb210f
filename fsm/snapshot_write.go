package fsm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
)

// A snapshot is a stream of frames: one byte that says what it is (a table, or one of the
// marks below), the length as a uvarint, and CBOR. First the head, then the tables in the order
// of their numbers, each in the order of its keys, then the foot, which counts them; last, 32
// bytes of SHA-256 over all of it. Indexes and sums are not in it: they are made again.
const (
	snapshotMagic   = "grafos snapshot\n"
	snapshotVersion = 1
	frameHead       = 0xf0
	frameFoot       = 0xff
	// maxRecord bounds one frame's CBOR.
	maxRecord = 256 << 10
)

// snapshotHead is what a reader must know first.
type snapshotHead struct {
	Version int  `json:"version"`
	Meta    meta `json:"meta"`
}

// snapshotFoot counts the records that came before it.
type snapshotFoot struct {
	Records [tableTokens + 1]uint64 `json:"records"` // by table number
}

// snapshotWriter writes frames and remembers the first error.
type snapshotWriter struct {
	codec codec
	out   *bufio.Writer
	sum   hash.Hash
	buf   bytes.Buffer
	foot  snapshotFoot
	err   error
}

// WriteSnapshot streams the view. Two views of the same state write the same bytes.
func (v *View) WriteSnapshot(w io.Writer) error {
	cd, err := newCodec()
	if err != nil {
		return err
	}
	sum := sha256.New()
	sw := &snapshotWriter{codec: cd, out: bufio.NewWriterSize(io.MultiWriter(w, sum), 256<<10), sum: sum}
	sw.raw([]byte(snapshotMagic))
	sw.frame(frameHead, &snapshotHead{Version: snapshotVersion, Meta: v.meta})
	writeTable(sw, tableProviders, v.providers)
	writeTable(sw, tableCells, v.cells)
	writeTable(sw, tableTenants, v.tenants)
	writeTable(sw, tableLeases, v.leases.byID)
	writeTable(sw, tableRuns, v.runs.byID)
	writeTable(sw, tableBlobs, v.blobs.byKey)
	writeTable(sw, tableKeys, v.keys.byKey)
	writeTable(sw, tableTokens, v.tokens.byID)
	sw.frame(frameFoot, &sw.foot)
	if sw.err == nil {
		sw.err = sw.out.Flush()
	}
	if sw.err == nil {
		_, sw.err = w.Write(sum.Sum(nil))
	}
	if sw.err != nil {
		return fmt.Errorf("write snapshot at index %d: %w", v.Index(), sw.err)
	}
	return nil
}

func writeTable[K ~string, V any](w *snapshotWriter, t table, m records[K, V]) {
	m.Scan(func(_ K, v V) bool {
		w.frame(byte(t), &v)
		w.foot.Records[t]++
		return w.err == nil
	})
}

func (w *snapshotWriter) frame(mark byte, value any) {
	if w.err != nil {
		return
	}
	w.buf.Reset()
	if w.err = w.codec.enc.MarshalToBuffer(value, &w.buf); w.err != nil {
		return
	}
	if w.buf.Len() > maxRecord {
		w.err = fmt.Errorf("a record of table %d has %d bytes, over %d", mark, w.buf.Len(), maxRecord)
		return
	}
	var head [1 + binary.MaxVarintLen64]byte
	head[0] = mark
	w.raw(binary.AppendUvarint(head[:1], uint64(w.buf.Len())))
	w.raw(w.buf.Bytes())
}

func (w *snapshotWriter) raw(b []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(b)
	}
}
