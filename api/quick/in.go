package quick

import (
	"bytes"
	"time"
)

// in is a document being read. The first thing that is not for this package makes it bad, and
// nothing of it counts.
type in struct {
	b   []byte
	i   int
	bad bool
}

// maxDigits bounds a number: with so many it fits into 64 bits, and anything that has more is
// for encoding/json.
const maxDigits = 18

// space skips what may stand between two parts.
func (d *in) space() {
	for d.i < len(d.b) {
		switch d.b[d.i] {
		case ' ', '\n', '\r', '\t':
			d.i++
		default:
			return
		}
	}
}

// next reports whether the next part begins with c, and passes it if so.
func (d *in) next(c byte) bool {
	d.space()
	if d.i < len(d.b) && d.b[d.i] == c {
		d.i++
		return true
	}
	return false
}

// need is next for what has to come.
func (d *in) need(c byte) {
	if !d.next(c) {
		d.bad = true
	}
}

// end reports whether all of the document was read, and was for this package.
func (d *in) end() bool {
	d.space()
	return !d.bad && d.i == len(d.b)
}

// token returns a string as it stands in the document.
func (d *in) token() []byte {
	d.need('"')
	n := bytes.IndexByte(d.b[d.i:], '"')
	if d.bad || n < 0 {
		d.bad = true
		return nil
	}
	s := d.b[d.i : d.i+n]
	d.i += n + 1
	for _, c := range s {
		if c < ' ' || c > '~' || c == '\\' {
			d.bad = true
			return nil
		}
	}
	return s
}

func (d *in) text() string { return string(d.token()) }

// known returns a string that is often one of a few, which are not made again then.
func (d *in) known(few ...string) string {
	s := d.token()
	for _, f := range few {
		if string(s) == f {
			return f
		}
	}
	return string(s)
}

func (d *in) number() uint64 {
	d.space()
	n, first := uint64(0), d.i
	for d.i < len(d.b) && d.b[d.i] >= '0' && d.b[d.i] <= '9' {
		n = 10*n + uint64(d.b[d.i]-'0')
		d.i++
		if d.i-first > maxDigits {
			d.bad = true
			return 0
		}
	}
	digits := d.i - first
	if digits == 0 || digits > 1 && d.b[first] == '0' {
		d.bad = true
	}
	return n // a fraction or an exponent behind it is not what may follow
}

func (d *in) int() int64 {
	if !d.next('-') {
		return int64(d.number())
	}
	if d.i >= len(d.b) || d.b[d.i] < '1' || d.b[d.i] > '9' {
		d.bad = true
		return 0
	}
	return -int64(d.number())
}

func (d *in) time() (t time.Time) {
	d.space()
	first := d.i
	d.token()
	if d.bad || t.UnmarshalJSON(d.b[first:d.i]) != nil {
		d.bad = true
	}
	return t
}

// yes reads true or false.
func (d *in) yes() bool {
	d.space()
	for _, v := range []string{"true", "false"} {
		if bytes.HasPrefix(d.b[d.i:], []byte(v)) {
			d.i += len(v)
			return v == "true"
		}
	}
	d.bad = true
	return false
}

// unknown is what a reader of fields returns for one that it does not have.
const unknown = 63

// object reads an object. field reads the value of a name and returns the number of the field,
// below unknown; need has a bit for each one that must be there.
func (d *in) object(need uint64, field func(name []byte) int) {
	d.need('{')
	seen := uint64(0)
	if !d.bad && !d.next('}') {
		for !d.bad {
			name := d.token()
			d.need(':')
			if d.bad {
				return
			}
			n := field(name)
			if n == unknown || seen&(1<<n) != 0 {
				d.bad = true
				return
			}
			seen |= 1 << n
			if d.next('}') {
				break
			}
			d.need(',')
		}
	}
	if seen&need != need {
		d.bad = true
	}
}

// items reads a list of what one reads, at most so many.
func items[T any](d *in, most int, one func(*in, *T)) []T {
	d.need('[')
	all := []T{}
	if d.bad || d.next(']') {
		return all
	}
	for !d.bad {
		if len(all) == most {
			d.bad = true
			break
		}
		var v T
		all = append(all, v)
		one(d, &all[len(all)-1])
		if d.next(']') {
			break
		}
		d.need(',')
	}
	return all
}
