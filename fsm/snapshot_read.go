package fsm

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"github.com/grafos/grafos/api"
)

// ReadSnapshot reads what WriteSnapshot wrote, to the end, and refuses what it cannot trust:
// another version, a record it does not know or that is out of order, a wrong count or sum,
// and anything behind the end.
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

// snapshotReader reads frames and sums what it read.
type snapshotReader struct {
	codec codec
	in    *bufio.Reader
	sum   hash.Hash
	buf   []byte
}

func readState(cd codec, r io.Reader) (*State, error) {
	sr := &snapshotReader{codec: cd, in: bufio.NewReaderSize(r, 256<<10), sum: sha256.New()}
	s := newState(cd)
	if err := sr.read(s); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return s, nil
}

func (r *snapshotReader) read(s *State) error {
	magic := make([]byte, len(snapshotMagic))
	if err := r.full(magic); err != nil {
		return err
	}
	if string(magic) != snapshotMagic {
		return api.Refuse(api.InvalidArgument, "these bytes are no snapshot of grafOS")
	}
	if err := r.head(s); err != nil {
		return err
	}
	var foot snapshotFoot
	l := loader{state: s, codec: r.codec}
	for {
		mark, body, err := r.frame()
		if err != nil {
			return err
		}
		if mark == frameFoot {
			if err := r.codec.dec.Unmarshal(body, &foot); err != nil {
				return fmt.Errorf("decode foot: %w", err)
			}
			break
		}
		if err := l.load(table(mark), body); err != nil {
			return err
		}
	}
	if foot != l.foot {
		return api.Refuse(api.InvalidArgument, "the snapshot counts %v records, %v were there", foot.Records, l.foot.Records)
	}
	return r.end()
}

// head reads the head and the state beside the tables.
func (r *snapshotReader) head(s *State) error {
	mark, body, err := r.frame()
	if err != nil {
		return err
	}
	var head snapshotHead
	if mark != frameHead {
		return api.Refuse(api.InvalidArgument, "the snapshot begins with frame %d, not with its head", mark)
	}
	if err := r.codec.dec.Unmarshal(body, &head); err != nil {
		return fmt.Errorf("decode head: %w", err)
	}
	if head.Version != snapshotVersion {
		return api.Refuse(api.InvalidArgument, "the snapshot has version %d: this node knows %d", head.Version, snapshotVersion)
	}
	if _, err := hex.DecodeString(head.Meta.Audit.Hash); err != nil || len(head.Meta.Audit.Hash) != 2*sha256.Size {
		return api.Refuse(api.InvalidArgument, "the snapshot's audit head is no hash")
	}
	s.meta = head.Meta
	return nil
}

// end checks the sum and that nothing follows it.
func (r *snapshotReader) end() error {
	want := r.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r.in, got); err != nil {
		return fmt.Errorf("read checksum: %w", err)
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return api.Refuse(api.InvalidArgument, "the snapshot's checksum is %x, its content has %x", got[:8], want[:8])
	}
	if _, err := r.in.ReadByte(); err != io.EOF {
		return api.Refuse(api.InvalidArgument, "the snapshot goes on behind its end")
	}
	return nil
}

// frame reads one frame; body is only good until the next.
func (r *snapshotReader) frame() (mark byte, body []byte, err error) {
	var one [1]byte
	if err := r.full(one[:]); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, fmt.Errorf("read length of a frame: %w", err)
	}
	if n > maxRecord {
		return 0, nil, api.Refuse(api.TooLarge, "a record has %d bytes: at most %d are taken", n, maxRecord)
	}
	if uint64(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	body = r.buf[:n]
	return one[0], body, r.full(body)
}

// ReadByte implements io.ByteReader for the lengths, which are summed as all else is.
func (r *snapshotReader) ReadByte() (byte, error) {
	var one [1]byte
	err := r.full(one[:])
	return one[0], err
}

func (r *snapshotReader) full(b []byte) error {
	if _, err := io.ReadFull(r.in, b); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	r.sum.Write(b)
	return nil
}

// loader puts records into a state that is not in use yet.
type loader struct {
	state *State
	codec codec
	foot  snapshotFoot
	table table
	key   string
}

// load decodes one record. Tables and keys come in order, so that a snapshot has one form.
func (l *loader) load(t table, body []byte) error {
	key, put, err := l.decode(t, body)
	if err != nil {
		return err
	}
	if t < l.table || t == l.table && key <= l.key && l.foot.Records[t] > 0 {
		return api.Refuse(api.InvalidArgument, "record %q of table %d is out of order", key, t)
	}
	l.table, l.key = t, key
	l.foot.Records[t]++
	put()
	return nil
}

// decode returns a record's key and what stores it.
func (l *loader) decode(t table, body []byte) (key string, put func(), err error) {
	s := l.state
	switch t {
	case tableProviders:
		var p api.Provider
		err = l.codec.dec.Unmarshal(body, &p)
		key, put = string(p.ID), func() { s.providers.Set(p.ID, p) }
	case tableCells:
		var c api.CellRecord
		err = l.codec.dec.Unmarshal(body, &c)
		key, put = string(c.ID), func() { s.cells.Set(c.ID, c) }
	case tableTenants:
		var v api.Tenant
		err = l.codec.dec.Unmarshal(body, &v)
		key, put = string(v.ID), func() { s.tenants.Set(v.ID, v) }
	case tableLeases:
		var v api.Lease
		if err = l.codec.dec.Unmarshal(body, &v); err == nil {
			err = trustLease(v)
		}
		key, put = string(v.ID), func() { s.leases.set(v, api.Lease{}, false) }
	case tableRuns:
		var v api.Run
		if err = l.codec.dec.Unmarshal(body, &v); err == nil {
			err = trustRun(v)
		}
		key, put = string(v.ID), func() { s.runs.set(v, api.Run{}, false) }
	case tableBlobs:
		var v BlobRef
		err = l.codec.dec.Unmarshal(body, &v)
		key, put = v.key(), func() { s.blobs.set(v, BlobRef{}, false) }
	case tableKeys:
		var v IdemRecord
		err = l.codec.dec.Unmarshal(body, &v)
		key, put = v.key(), func() { s.keys.set(v) }
	case tableTokens:
		var v TokenRecord
		err = l.codec.dec.Unmarshal(body, &v)
		key, put = v.JTI, func() { s.tokens.set(v) }
	default:
		return "", nil, api.Refuse(api.InvalidArgument, "the snapshot has a table %d: this node does not know it", t)
	}
	if err != nil {
		return "", nil, fmt.Errorf("decode a record of table %d: %w", t, err)
	}
	return key, put, nil
}

// trustLease refuses a state, kind or amount that does not exist: the sums would be wrong.
func trustLease(l api.Lease) error {
	known := false
	for _, st := range api.LeaseStates() {
		known = known || st == l.State
	}
	if !known || l.Amount < 1 || l.Amount > api.MaxAmount || (api.Resources{}).With(l.Kind, 1).IsZero() {
		return api.Refuse(api.InvalidArgument, "lease %s is in a state, or of a kind or amount, that does not exist", l.ID)
	}
	return nil
}

// trustRun refuses a state that does not exist.
func trustRun(r api.Run) error {
	switch r.State {
	case api.RunAdmitted, api.RunPlaced, api.RunRunning, api.RunSucceeded, api.RunFailed, api.RunExpired, api.RunRevoked, api.RunLost:
		return nil
	}
	return api.Refuse(api.InvalidArgument, "run %s is in a state that does not exist", r.ID)
}
