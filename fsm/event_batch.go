package fsm

import (
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

// appendTo makes the events from the one at first on, at most limit.
func (b *eventBatch) appendTo(list []api.Event, first, limit int) []api.Event {
	rd := recordReader{s: string(b.data)}
	for i := range min(b.n, first+limit) {
		e := api.Event{Cursor: api.Cursor{Index: b.index, Sub: uint32(i)}, Time: time.UnixMilli(b.wall).UTC()}
		e.Type, e.Identity = rd.text(), rd.text()
		e.Provider, e.CellID = api.ProviderID(rd.text()), api.CellID(rd.text())
		e.LeaseID, e.RunID, e.Tenant = api.LeaseID(rd.text()), api.RunID(rd.text()), api.TenantID(rd.text())
		from := rd.at + lengthBytes
		rd.at = from + int(binary.LittleEndian.Uint32(b.data[rd.at:]))
		e.Data = json.RawMessage(b.data[from:rd.at:rd.at])
		if i >= first {
			list = append(list, e)
		}
	}
	return list
}

// events makes all of them.
func (b *eventBatch) events() []api.Event { return b.appendTo(nil, 0, b.n) }
