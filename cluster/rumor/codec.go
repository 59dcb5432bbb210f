package rumor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
)

// The first byte of every message is the version, the second what it is.
const (
	codecVersion = 1
	msgWhole     = 1 // a whole table
	msgSome      = 2 // the cells that changed
)

// Bounds of what is decoded.
const (
	maxMessage  = 16 << 20
	maxBootID   = 64
	maxStuck    = 160
	maxAgeMs    = int64(7 * 24 * time.Hour / time.Millisecond)
	flagSession = 1
	flagNever   = 2 // there never was a session
)

// encode prints a digest. Ages above a week are told as a week.
func encode(kind byte, d api.SightingTable) []byte {
	b := make([]byte, 0, 64+len(d.Sightings)*112)
	b = append(b, codecVersion, kind)
	b = appendString(b, string(d.Node), api.MaxNameLen)
	b = binary.BigEndian.AppendUint64(b, d.Digest)
	b = binary.AppendUvarint(b, uint64(len(d.Sightings)))
	for _, s := range d.Sightings {
		b = appendSighting(b, s)
	}
	return b
}

func appendSighting(b []byte, s api.Sighting) []byte {
	b = appendString(b, string(s.CellID), api.MaxNameLen)
	b = binary.AppendUvarint(b, s.Epoch)
	b = binary.AppendUvarint(b, s.Seq)
	b = appendString(b, s.Stamp.BootID, maxBootID)
	b = binary.AppendUvarint(b, uint64(max(s.Stamp.BootTime, 0)))
	b = binary.AppendUvarint(b, age(s.AgeMs))
	b = binary.AppendUvarint(b, age(s.SteadyMs))
	switch {
	case s.Session:
		b = append(b, flagSession)
	case s.SessionAgeMs < 0:
		b = append(b, flagNever)
	default:
		b = append(b, 0)
		b = binary.AppendUvarint(b, age(s.SessionAgeMs))
	}
	return appendString(b, s.Stuck, maxStuck)
}

func age(ms int64) uint64 { return uint64(min(max(ms, 0), maxAgeMs)) }

func appendString(b []byte, s string, bound int) []byte {
	s = s[:min(len(s), bound)]
	return append(append(b, byte(len(s))), s...)
}

// decode reads a digest, strictly: nothing unknown, nothing out of bounds, nothing left over.
func decode(b []byte) (kind byte, d api.SightingTable, err error) {
	if len(b) > maxMessage {
		return 0, d, fmt.Errorf("decode digest: %d bytes, at most %d are taken", len(b), maxMessage)
	}
	r := reader{b: b}
	if v := r.byte(); v != codecVersion && r.err == nil {
		return 0, d, fmt.Errorf("decode digest: version %d, this release knows %d", v, codecVersion)
	}
	if kind = r.byte(); kind != msgWhole && kind != msgSome && r.err == nil {
		return 0, d, fmt.Errorf("decode digest: unknown message %d", kind)
	}
	d.Node = api.NodeID(r.name("node"))
	d.Digest = r.uint64()
	n := r.uvarint(MaxSightings)
	// A sighting takes ten bytes at least: no count makes more room than its bytes could fill.
	d.Sightings = make([]api.Sighting, 0, min(n, uint64(len(r.b)/10)))
	for range n {
		s := r.sighting()
		if r.err != nil {
			break
		}
		d.Sightings = append(d.Sightings, s)
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.b))
	}
	if r.err != nil {
		return 0, api.SightingTable{}, fmt.Errorf("decode digest: %w", r.err)
	}
	return kind, d, nil
}

// reader reads fields until the first error.
type reader struct {
	b   []byte
	err error
}

func (r *reader) sighting() api.Sighting {
	s := api.Sighting{CellID: api.CellID(r.name("cell")), Epoch: r.uvarint(1<<64 - 1), Seq: r.uvarint(1<<64 - 1)}
	s.Stamp.BootID = r.string(maxBootID)
	s.Stamp.BootTime = int64(r.uvarint(1<<63 - 1))
	s.AgeMs = int64(r.uvarint(uint64(maxAgeMs)))
	s.SteadyMs = int64(r.uvarint(uint64(maxAgeMs)))
	switch flags := r.byte(); flags {
	case flagSession:
		s.Session = true
	case flagNever:
		s.SessionAgeMs = -1
	case 0:
		s.SessionAgeMs = int64(r.uvarint(uint64(maxAgeMs)))
	default:
		r.fail(fmt.Errorf("unknown flags %#x", flags))
	}
	s.Stuck = r.string(maxStuck)
	return s
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err, r.b = err, nil
	}
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail(errors.New("it ends early"))
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint(bound uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n == 0:
		r.fail(errors.New("it ends early"))
		return 0
	case n < 0 || v > bound:
		r.fail(fmt.Errorf("a number is above %d", bound))
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string(bound int) string {
	n := int(r.byte())
	if n > bound {
		r.fail(fmt.Errorf("a text of %d bytes, at most %d are taken", n, bound))
	}
	return string(r.take(n))
}

func (r *reader) name(what string) string {
	s := r.string(api.MaxNameLen)
	if r.err == nil {
		if err := api.CheckName(what, s); err != nil {
			r.fail(err)
		}
	}
	return s
}
