package fsm

import (
	"encoding/binary"
	"time"
)

// The records that there are many of (leases, runs and idempotency keys) have a compact form: a byte
// that names the layout, then their fields in a fixed order: numbers as varints, texts and lists
// behind their length. The same bytes are hashed into the fingerprint and stand in
// snapshots, and a lease or a key is kept as nothing but them: one allocation without a
// pointer in it, which the garbage collector need not look into. To read one is to cut
// its texts out of it; nothing is copied.
//
// Adding a field makes a new layout: readers know both, and writers write the old one until
// the cluster's feature level says otherwise, for the bytes are in the fingerprint.
const layoutOne = 1

// layoutTwo is what came with feature level 2.
const layoutTwo = 2

// recordReader reads a compact record. It remembers that it could not and goes on with zeros.
type recordReader struct {
	s   string
	at  int
	bad bool
}

func (r *recordReader) byte() byte {
	if r.at >= len(r.s) {
		r.bad = true
		return 0
	}
	b := r.s[r.at]
	r.at++
	return b
}

func (r *recordReader) uint() uint64 {
	if r.at < len(r.s) && r.s[r.at] < 0x80 { // most are small
		r.at++
		return uint64(r.s[r.at-1])
	}
	return r.longUint()
}

func (r *recordReader) longUint() uint64 {
	var x uint64
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		x |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return x
		}
	}
	r.bad = true
	return 0
}

func (r *recordReader) int() int64 {
	u := r.uint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *recordReader) text() string {
	n := r.uint()
	if n > uint64(len(r.s)-r.at) {
		r.bad = true
		return ""
	}
	t := r.s[r.at : r.at+int(n)]
	r.at += int(n)
	return t
}

// time reads what appendTime wrote.
func (r *recordReader) time() time.Time {
	u := r.uint()
	if u == 0 {
		return time.Time{}
	}
	u--
	return time.UnixMilli(int64(u>>1) ^ -int64(u&1)).UTC()
}

// count reads the length of a list, each element of which takes a byte at least.
func (r *recordReader) count() int {
	n := r.uint()
	if n > uint64(len(r.s)-r.at) {
		r.bad = true
		return 0
	}
	return int(n)
}

// ok reports whether everything was there, and nothing more.
func (r *recordReader) ok() bool { return !r.bad && r.at == len(r.s) }

func appendUint(b []byte, n uint64) []byte {
	if n < 0x80 { // most are small
		return append(b, byte(n))
	}
	return binary.AppendUvarint(b, n)
}

func appendInt(b []byte, n int64) []byte { return appendUint(b, uint64(n<<1)^uint64(n>>63)) }

func appendText[T ~string](b []byte, s T) []byte {
	return append(appendUint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// appendTime writes a time for display, to the millisecond: the state knows no other. The
// zero time is 0.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	ms := t.UnixMilli()
	return appendUint(b, uint64(ms<<1)^uint64(ms>>63)+1)
}
