package fsm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/grafos/grafos/api"
)

// eventBatch is the events of one entry, in one piece of memory without a pointer in it: most
// events are never read, and what is read is made then. An event is its texts in the order of
// event, as compact records have them, then its data behind its length.
type eventBatch struct {
	index uint64
	wall  int64 // ms
	n     int
	data  []byte
	in    *segment // what data is a part of; nil while the batch is made
}

// maxBatch bounds the memory that is used again for the events of the next entry. One entry can end
// a thousand leases, with two events each.
const maxBatch = 2 << 20

// begin empties a batch for the events of an entry.
func (b *eventBatch) begin(index uint64, wall int64) {
	data := b.data[:0]
	if cap(data) > maxBatch {
		data = nil
	}
	*b = eventBatch{index: index, wall: wall, data: data}
}

// lengthBytes are what the length of an event's data takes.
const lengthBytes = 4

// open begins an event; its data goes behind what open returns, and begins there.
func (b *eventBatch) open(kind, actor string, on *subject) []byte {
	d := appendText(b.data, kind)
	d = appendText(d, actor)
	d = appendText(d, on.Provider)
	d = appendText(d, on.Cell)
	d = appendText(d, on.Lease)
	d = appendText(d, on.Run)
	d = appendText(d, on.Tenant)
	return append(d, make([]byte, lengthBytes)...)
}

// done ends an event: d is the batch with its data, which begins at from.
func (b *eventBatch) done(d []byte, from int) {
	binary.LittleEndian.PutUint32(d[from-lengthBytes:], uint32(len(d)-from))
	b.data = d
	b.n++
}

// end is the cursor of the last event.
func (b *eventBatch) end() api.Cursor { return api.Cursor{Index: b.index, Sub: uint32(b.n - 1)} }

// appendTo makes the events from the one at first on, at most limit. They have a copy of their part of
// the batch in common, and nothing else of it: who holds a few events holds no segment of the ring.
func (b *eventBatch) appendTo(list []api.Event, first, limit int) []api.Event {
	last := min(b.n, first+limit)
	if first >= last {
		return list
	}
	rd := batchReader{data: b.data, recordReader: recordReader{s: asText(b.data)}} // to be looked at here only
	for range first {
		rd.event()
	}
	from := rd.at
	for range last - first {
		rd.event()
	}
	part := bytes.Clone(b.data[from:rd.at])
	rd = batchReader{data: part, recordReader: recordReader{s: asText(part)}}
	for i := first; i < last; i++ {
		e := rd.event()
		e.Cursor, e.Time = api.Cursor{Index: b.index, Sub: uint32(i)}, time.UnixMilli(b.wall).UTC()
		list = append(list, e)
	}
	return list
}

// batchReader reads the events of a batch; what it returns are parts of data.
type batchReader struct {
	recordReader
	data []byte
}

func (rd *batchReader) event() (e api.Event) {
	e.Type, e.Identity = rd.text(), rd.text()
	e.Provider, e.CellID = api.ProviderID(rd.text()), api.CellID(rd.text())
	e.LeaseID, e.RunID, e.Tenant = api.LeaseID(rd.text()), api.RunID(rd.text()), api.TenantID(rd.text())
	from := rd.at + lengthBytes
	rd.at = from + int(binary.LittleEndian.Uint32(rd.data[rd.at:]))
	e.Data = json.RawMessage(rd.data[from:rd.at:rd.at])
	return e
}

// events makes all of them.
func (b *eventBatch) events() []api.Event { return b.appendTo(nil, 0, b.n) }
