package fsm

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/grafos/grafos/api"
)

// What the audit chain says of leases and tenants is written by hand, byte for byte as encoding/json
// does: the chain is made of these bytes, and mostly of these facts.

// beginFact begins an event, and the JSON of its fact; endFact ends it, and returns the JSON, which
// is there until the next event. What writes the fields between them is known by its type, so
// that it stays on the stack.
func (s *State) beginFact(kind, actor string, on *subject) factWriter {
	b := s.events.open(kind, whoDid(actor), on)
	return factWriter{b: append(b, '{'), from: len(b)}
}

func (s *State) endFact(kind string, w *factWriter) json.RawMessage {
	w.b = append(w.b, '}')
	return s.endEvent(kind, w)
}

func (s *State) endEvent(kind string, w *factWriter) json.RawMessage {
	if w.err != nil {
		s.fail(fmt.Errorf("encode data of event %s: %w", kind, w.err))
		return nil
	}
	s.events.done(w.b, w.from)
	return json.RawMessage(w.b[w.from:])
}

// factWriter writes the fields of one JSON object. What stands before a value comes as it is in JSON:
// the comma, but at the first field, then name and colon, and the quote that a text begins with.
type factWriter struct {
	b    []byte
	from int // of the object
	err  error
}

func (w *factWriter) number(name string, n int64) {
	w.b = strconv.AppendInt(append(w.b, name...), n, 10)
}

func (w *factWriter) count(name string, n uint64) {
	w.b = strconv.AppendUint(append(w.b, name...), n, 10)
}

// tick is number for one that many facts have in common: last is what was written before.
func (w *factWriter) tick(name string, n api.Tick, last *tickText) {
	if last.text == nil || last.at != n {
		last.at, last.text = n, strconv.AppendInt(last.text[:0], int64(n), 10)
	}
	w.b = append(append(w.b, name...), last.text...)
}

// tickText is a tick and its text.
type tickText struct {
	at   api.Tick
	text []byte
}

// object writes what there is seldom, as its fields' tags say.
func (w *factWriter) object(name string, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		w.err = err
		return
	}
	w.b = append(append(w.b, name...), raw...)
}

func (w *factWriter) optional(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

func (w *factWriter) text(name, s string) {
	w.b = append(w.b, name...)
	if api.PlainJSON(s) {
		w.b = append(w.b, s...)
		w.b = append(w.b, '"')
		return
	}
	q, err := json.Marshal(s)
	if err != nil {
		w.err = err
		return
	}
	w.b = append(w.b, q[1:]...)
}
