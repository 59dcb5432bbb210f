package ui

import (
	"strings"
	"unicode"
)

// Style is how a piece of text stands out on a terminal with colour. Colour never
// carries meaning alone: the word or mark beside it says the same.
type Style int

// The styles.
const (
	Plain Style = iota
	Bold
	Dim
	Good
	Warn
	Bad
)

// paint wraps text in the escape sequence of the style.
func (s Style) paint(text string) string {
	if text == "" {
		return text
	}
	code := ""
	switch s {
	case Plain:
		return text
	case Bold:
		code = "1"
	case Dim:
		code = "2"
	case Good:
		code = "32"
	case Warn:
		code = "33"
	case Bad:
		code = "31"
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Clean returns text on one line without control characters, so that nothing that came
// from the cluster can move the cursor, ring the bell or break a row.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, text)
}
