package fsm

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// What the audit chain says of leases and tenants is written by hand, byte for byte as encoding/json
// does: the chain is made of these bytes, and mostly of these facts.

// beginFact begins the JSON of a fact, endFact returns it. What writes the fields between them is
// known by its type, so that it stays on the stack.
func (s *State) beginFact() factWriter { return factWriter{b: append(s.json[:0], '{')} }

func (s *State) endFact(kind string, w *factWriter) json.RawMessage {
	s.json = append(w.b, '}')
	if w.err != nil {
		s.fail(fmt.Errorf("encode data of event %s: %w", kind, w.err))
		return nil
	}
	return s.keep(s.json)
}

// rawChunk is how much is made at once for the data of events: they are kept and forgotten
// together.
const rawChunk = 8 << 10

// keep returns a copy of the data of an event.
func (s *State) keep(data []byte) json.RawMessage {
	if len(data) > rawChunk/4 {
		return append(make(json.RawMessage, 0, len(data)), data...)
	}
	if cap(s.raw)-len(s.raw) < len(data) {
		s.raw = make([]byte, 0, rawChunk)
	}
	from := len(s.raw)
	s.raw = append(s.raw, data...)
	return json.RawMessage(s.raw[from:len(s.raw):len(s.raw)])
}

// factWriter writes the fields of one JSON object.
type factWriter struct {
	b   []byte
	err error
}

func (w *factWriter) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *factWriter) number(name string, n int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *factWriter) count(name string, n uint64) {
	w.name(name)
	w.b = strconv.AppendUint(w.b, n, 10)
}

func (w *factWriter) optional(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

func (w *factWriter) text(name, s string) {
	w.name(name)
	if plain(s) {
		w.b = append(append(append(w.b, '"'), s...), '"')
		return
	}
	q, err := json.Marshal(s)
	if err != nil {
		w.err = err
	}
	w.b = append(w.b, q...)
}

// plain reports whether a text stands in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}
