package quick

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
)

// out is a document being written.
type out struct {
	b []byte
	// bad says that something of the document cannot be written here.
	bad bool
}

// raw writes a part of the document as it stands.
func (o *out) raw(s string) { o.b = append(o.b, s...) }

func (o *out) text(s string) {
	if !api.PlainJSON(s) {
		o.other(s)
		return
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, s...)
	o.b = append(o.b, '"')
}

// other writes a value that is rare as encoding/json does.
func (o *out) other(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		o.bad = true
		return
	}
	o.b = append(o.b, b...)
}

func (o *out) int(n int64)     { o.b = strconv.AppendInt(o.b, n, 10) }
func (o *out) number(n uint64) { o.b = strconv.AppendUint(o.b, n, 10) }

// time writes a time; one that is not in UTC, or in no year of four digits, as encoding/json
// does.
func (o *out) time(t time.Time) {
	if y := t.Year(); y < 0 || y > 9999 || t.Location() != time.UTC {
		o.other(t)
		return
	}
	o.b = append(o.b, '"')
	o.b = t.AppendFormat(o.b, time.RFC3339Nano)
	o.b = append(o.b, '"')
}

// The fields that are left out when they are zero; name is the comma, the name and the colon.

func (o *out) textField(name, s string) {
	if s != "" {
		o.raw(name)
		o.text(s)
	}
}

func (o *out) intField(name string, n int64) {
	if n != 0 {
		o.raw(name)
		o.int(n)
	}
}

func (o *out) numberField(name string, n uint64) {
	if n != 0 {
		o.raw(name)
		o.number(n)
	}
}

func (o *out) timeField(name string, t time.Time) {
	if !t.IsZero() {
		o.raw(name)
		o.time(t)
	}
}

// list writes a list of what one writes; nil is null.
func list[T any](o *out, items []T, one func(*out, *T)) {
	if items == nil {
		o.raw("null")
		return
	}
	o.raw("[")
	for i := range items {
		if i > 0 {
			o.raw(",")
		}
		one(o, &items[i])
	}
	o.raw("]")
}

// listField is list for a field that is left out when there is nothing in it.
func listField[T any](o *out, name string, items []T, one func(*out, *T)) {
	if len(items) > 0 {
		o.raw(name)
		list(o, items, one)
	}
}
