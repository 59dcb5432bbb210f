package fsm

import "github.com/grafos/grafos/api"

// keyRecord is an idempotency key and its outcome in their compact form.
type keyRecord string

// IdemRecord is the stored outcome of a command with an idempotency key.
type IdemRecord struct {
	Scope  string        `json:"scope"`
	Key    string        `json:"key"`
	Hash   string        `json:"hash"`
	Kind   Kind          `json:"kind"`
	Leases []api.LeaseID `json:"leases,omitempty"`
	Run    api.RunID     `json:"run_id,omitempty"`
	Index  uint64        `json:"index"`
	// Sub is the place of the command in its entry.
	Sub uint32   `json:"sub,omitempty"`
	At  api.Tick `json:"at_tick"`
}

// appendKey writes the compact form of an idempotency record.
func appendKey(b []byte, r *IdemRecord) []byte {
	b = append(b, layoutOne)
	b = appendText(b, r.Scope)
	b = appendText(b, r.Key)
	b = appendText(b, r.Hash)
	b = appendUint(b, uint64(r.Kind))
	b = appendUint(b, r.Index)
	b = appendUint(b, uint64(r.Sub))
	b = appendInt(b, int64(r.At))
	b = appendText(b, r.Run)
	b = appendUint(b, uint64(len(r.Leases)))
	for _, id := range r.Leases {
		b = appendText(b, id)
	}
	return b
}

// is reports whether the record is of a key.
func (r keyRecord) is(scope, key string) bool {
	rd := recordReader{s: string(r), at: 1}
	return rd.text() == scope && rd.text() == key
}

// at returns when the record was made without reading the rest.
func (r keyRecord) at() api.Tick {
	rd := recordReader{s: string(r), at: 1}
	for range 3 {
		rd.text()
	}
	for range 3 {
		rd.uint()
	}
	return api.Tick(rd.int())
}

// record reads what appendKey wrote.
func (r keyRecord) record() IdemRecord {
	v, _ := r.read()
	return v
}

// read reads a record; false when it is none.
func (r keyRecord) read() (v IdemRecord, ok bool) {
	rd := recordReader{s: string(r)}
	layout := rd.byte()
	v.Scope, v.Key, v.Hash = rd.text(), rd.text(), rd.text()
	kind := rd.uint()
	v.Kind = Kind(kind)
	v.Index = rd.uint()
	sub := rd.uint()
	v.Sub = uint32(sub)
	v.At = api.Tick(rd.int())
	v.Run = api.RunID(rd.text())
	if n := rd.count(); n > 0 {
		v.Leases = make([]api.LeaseID, n)
		for i := range v.Leases {
			v.Leases[i] = api.LeaseID(rd.text())
		}
	}
	return v, rd.ok() && layout == layoutOne && uint64(v.Kind) == kind && uint64(v.Sub) == sub
}
