package fsm

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"github.com/fxamacker/cbor/v2"
)

// ReadSnapshot reads what WriteSnapshot wrote, to the end, and refuses with a *SnapshotError
// what it cannot trust: another version or feature level, a record it does not know or that is
// out of order, a wrong count or sum, and anything behind the end.
func ReadSnapshot(r io.Reader) (*View, error) {
	cd, err := newCodec()
	if err != nil {
		return nil, err
	}
	s, err := readState(cd, r)
	if err != nil {
		return nil, err
	}
	return s.publish(), nil
}

// readState reads a snapshot into a state of its own. What is wrong with the content of one
// whose checksum is wrong too is its damage.
func readState(cd codec, r io.Reader) (*State, error) {
	sr := &snapshotReader{codec: cd, in: r, sum: sha256.New(), buf: make([]byte, 0, snapshotBlock)}
	s := newState(cd)
	err := sr.read(s)
	if err == nil {
		return s, nil
	}
	if err.Fault == FaultContent && !sr.intact() {
		err.Fault = FaultDamaged
		err.Detail = "its checksum is wrong, and so is what it says: " + err.Detail
	}
	return nil, err
}

// snapshotReader reads frames and sums what it read.
type snapshotReader struct {
	codec  codec
	in     io.Reader
	sum    hash.Hash // of all before buf[summed]
	buf    []byte
	at     int // of what was not read yet
	summed int
}

func (r *snapshotReader) read(s *State) *SnapshotError {
	magic, err := r.full(len(snapshotMagic))
	if err != nil {
		return err
	}
	if string(magic) != snapshotMagic {
		return refuseSnapshot(FaultForeign, nil, "these bytes are no snapshot of grafOS")
	}
	l := loader{state: s, codec: r.codec}
	if err := r.head(&l); err != nil {
		return err
	}
	foot, err := r.records(&l)
	if err != nil {
		return err
	}
	if foot != l.foot {
		return refuseSnapshot(FaultContent, nil, "it counts %v records in its tables, %v were there", foot.Records[1:], l.foot.Records[1:])
	}
	l.finishOne()
	return r.end()
}

// head reads what comes before the tables.
func (r *snapshotReader) head(l *loader) *SnapshotError {
	mark, body, err := r.frame()
	if err != nil {
		return err
	}
	if mark != frameHead {
		return refuseSnapshot(FaultContent, nil, "it begins with frame %d, not with its head", mark)
	}
	var head snapshotHead // of any version: other fields are of no interest yet
	if err := cbor.Unmarshal(body, &head); err != nil {
		return refuseSnapshot(FaultContent, err, "its head cannot be read")
	}
	switch {
	case head.Version == 1:
		return l.headOne(body)
	case head.Version != snapshotVersion:
		return refuseSnapshot(FaultVersion, nil, "it has version %d, this node knows 1 to %d", head.Version, snapshotVersion)
	case head.Level > l.state.newest:
		return refuseSnapshot(FaultLevel, nil, "its cluster is at feature level %d, this node knows 1 to %d", head.Level, l.state.newest)
	}
	if err := l.codec.dec.Unmarshal(body, &head); err != nil {
		return refuseSnapshot(FaultContent, err, "its head cannot be read")
	}
	if mark, body, err = r.frame(); err != nil {
		return err
	}
	if mark != frameMeta {
		return refuseSnapshot(FaultContent, nil, "its head is followed by frame %d", mark)
	}
	var m snapshotMeta
	if err := l.codec.dec.Unmarshal(body, &m); err != nil {
		return refuseSnapshot(FaultContent, err, "its state beside the tables cannot be read")
	}
	return l.begin(&m, head.Level)
}

// records reads the tables and the foot behind them.
func (r *snapshotReader) records(l *loader) (foot snapshotFoot, _ *SnapshotError) {
	for {
		mark, body, err := r.frame()
		if err != nil {
			return foot, err
		}
		if mark == frameFoot {
			if err := r.codec.dec.Unmarshal(body, &foot); err != nil {
				return foot, refuseSnapshot(FaultContent, err, "its foot cannot be read")
			}
			return foot, nil
		}
		if err := l.load(table(mark), body); err != nil {
			return foot, refuseSnapshot(FaultContent, err, "record %d of table %d", l.foot.Records[min(table(mark), tableTokens)]+1, mark)
		}
	}
}

// end checks the sum and that nothing follows it.
func (r *snapshotReader) end() *SnapshotError {
	want := r.sumSoFar()
	got, err := r.full(len(want))
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return refuseSnapshot(FaultDamaged, nil, "its checksum is %x, its content has %x", got[:8], want[:8])
	}
	switch _, err := r.full(1); {
	case err == nil:
		return refuseSnapshot(FaultTrailing, nil, "it goes on behind its end")
	case err.Fault != FaultTruncated:
		return err
	}
	return nil
}

// intact reads to the end and reports whether the last bytes are the sum of all before.
func (r *snapshotReader) intact() bool {
	for {
		r.at = max(r.at, len(r.buf)-sha256.Size) // all but what may be the sum
		if err := r.fill(sha256.Size + 1); err != nil {
			break
		}
	}
	end := len(r.buf) - sha256.Size
	if end < r.summed {
		return false
	}
	r.at = end
	return subtle.ConstantTimeCompare(r.buf[end:], r.sumSoFar()) == 1
}

// sumSoFar returns the sum of all that was read.
func (r *snapshotReader) sumSoFar() []byte {
	r.sum.Write(r.buf[r.summed:r.at])
	r.summed = r.at
	return r.sum.Sum(nil)
}

// frame reads one frame; body is only good until the next.
func (r *snapshotReader) frame() (mark byte, body []byte, err *SnapshotError) {
	one, err := r.full(1)
	if err != nil {
		return 0, nil, err
	}
	mark = one[0]
	var n uint64
	for shift := 0; ; shift += 7 {
		b, err := r.full(1)
		if err != nil {
			return 0, nil, err
		}
		n |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			if b[0] == 0 && shift > 0 {
				return 0, nil, refuseSnapshot(FaultContent, nil, "the length of a frame is written in more bytes than it needs")
			}
			break
		}
		if shift > 21 {
			return 0, nil, refuseSnapshot(FaultContent, nil, "the length of a frame has no end")
		}
	}
	if n > maxRecord {
		return 0, nil, refuseSnapshot(FaultContent, nil, "a record has %d bytes: at most %d are taken", n, maxRecord)
	}
	body, err = r.full(int(n))
	return mark, body, err
}

// full reads n bytes, which are only good until the next call.
func (r *snapshotReader) full(n int) ([]byte, *SnapshotError) {
	if err := r.fill(n); err != nil {
		return nil, err
	}
	r.at += n
	return r.buf[r.at-n : r.at], nil
}

// fill makes sure that n bytes are there to read.
func (r *snapshotReader) fill(n int) *SnapshotError {
	if len(r.buf)-r.at >= n {
		return nil
	}
	// What may be the sum at the end is not in the sum, even where it was read as something else.
	done := max(r.summed, r.at-sha256.Size)
	r.sum.Write(r.buf[r.summed:done])
	rest := copy(r.buf[:cap(r.buf)], r.buf[done:])
	r.buf, r.at, r.summed = r.buf[:rest], r.at-done, 0
	n += r.at
	if n > cap(r.buf) {
		r.buf = append(make([]byte, 0, n), r.buf...)
	}
	for len(r.buf) < n {
		got, err := r.in.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+got]
		switch {
		case len(r.buf) >= n:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return refuseSnapshot(FaultTruncated, nil, "it ends before its end")
		case err != nil:
			return refuseSnapshot(FaultRead, err, "it cannot be read")
		}
	}
	return nil
}

// fromHex reads the fingerprint of a snapshot.
func fromHex(s string) (sum [sha256.Size]byte, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(sum) {
		return sum, false
	}
	return [sha256.Size]byte(b), true
}
