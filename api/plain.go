package api

// PlainJSON reports whether a text stands in JSON as it is, between quotes: printable ASCII without
// quote, backslash and what encoding/json escapes for HTML.
func PlainJSON(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		// The compiler makes one load of it.
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		if !plainWord(w) {
			return false
		}
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

const (
	eachByte = 0x0101010101010101 // times a byte is that byte eight times
	eachHigh = 0x80 * eachByte
)

// plainWord is PlainJSON for eight bytes at a time. A byte less one has its highest bit set, and had
// it not before, when it was 0; a borrow comes from such a byte only.
func plainWord(w uint64) bool {
	control := (w - ' '*eachByte) &^ w // below a space
	del := w ^ 0x7f*eachByte
	quote := w ^ '"'*eachByte
	backslash := w ^ '\\'*eachByte
	angle := (w | 2*eachByte) ^ '>'*eachByte // < and > differ in one bit
	and := w ^ '&'*eachByte
	bad := w | control | (del-eachByte)&^del | (quote-eachByte)&^quote | (backslash-eachByte)&^backslash | (angle-eachByte)&^angle | (and-eachByte)&^and
	return bad&eachHigh == 0
}
