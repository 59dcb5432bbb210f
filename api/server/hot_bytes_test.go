package server

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"testing"

	"github.com/grafos/grafos/api/quick"
)

var (
	rawName   = regexp.MustCompile(`"[a-z_]+":`)
	rawText   = regexp.MustCompile(`"[^"\\]+"`)
	rawObject = regexp.MustCompile(`"[a-z_]+":(\{[^{}]*\}|\[[^][]*\])`)
	rawNumber = regexp.MustCompile(`-?[0-9]+`)
	rawMember = regexp.MustCompile(`"[a-z_]+":("[^"\\]*"|-?[0-9]+|true|false|\{\}|\[\])`)
)

// at puts something in place of one of the matches of a pattern.
func at(r *rand.Rand, body []byte, pattern *regexp.Regexp, with func(match []byte) []byte) []byte {
	found := pattern.FindAllIndex(body, -1)
	if len(found) == 0 {
		return body
	}
	m := found[r.IntN(len(found))]
	return bytes.Join([][]byte{body[:m[0]], with(bytes.Clone(body[m[0]:m[1]])), body[m[1]:]}, nil)
}

func oneOf(r *rand.Rand, list ...string) []byte { return []byte(list[r.IntN(len(list))]) }

// inText puts something somewhere into a text, in place of a byte or beside it.
func inText(r *rand.Rand, text, what []byte) []byte {
	i := 1 + r.IntN(len(text)-2)
	return bytes.Join([][]byte{text[:i], what, text[i+r.IntN(2):]}, nil)
}

// mangled are the ways to spoil the bytes of a document: what no encoder writes, and what one
// reader takes and another does not.
func mangled() map[string]func(r *rand.Rand, body []byte) []byte {
	return map[string]func(r *rand.Rand, body []byte) []byte{
		"a name twice": func(r *rand.Rand, body []byte) []byte {
			return at(r, body, rawMember, func(m []byte) []byte {
				name := m[:bytes.IndexByte(m, ':')+1]
				twin := append(bytes.Clone(name), oneOf(r, `null`, `0`, `1`, `""`, `"x"`, `{}`, `[]`, `true`)...)
				if r.IntN(2) == 0 {
					return bytes.Join([][]byte{m, twin}, []byte(","))
				}
				return bytes.Join([][]byte{twin, m}, []byte(","))
			})
		},
		"an object or a list twice": func(r *rand.Rand, body []byte) []byte {
			return at(r, body, rawObject, func(m []byte) []byte {
				other := at(r, m, rawMember, func([]byte) []byte { return []byte(`"cpu":1`) })
				if r.IntN(2) == 0 {
					other = append(bytes.Clone(m[:bytes.IndexByte(m, ':')+1]), oneOf(r, `{}`, `[]`, `{"cpu":1}`, `[{}]`)...)
				}
				if r.IntN(2) == 0 {
					m, other = other, m
				}
				return bytes.Join([][]byte{m, other}, []byte(","))
			})
		},
		"a name in capitals": func(r *rand.Rand, body []byte) []byte {
			return at(r, body, rawName, func(m []byte) []byte {
				if r.IntN(2) == 0 {
					return bytes.ToUpper(m)
				}
				i := 1 + r.IntN(len(m)-3)
				m[i] = bytes.ToUpper(m[i : i+1])[0]
				return m
			})
		},
		"a name twice, once in capitals": func(r *rand.Rand, body []byte) []byte {
			return at(r, body, rawMember, func(m []byte) []byte {
				return bytes.Join([][]byte{bytes.ToUpper(m[:bytes.IndexByte(m, ':')+1]), oneOf(r, `null`, `1`, `"x"`), []byte(","), m}, nil)
			})
		},
		"a name with an escape": func(r *rand.Rand, body []byte) []byte {
			return at(r, body, rawName, func(m []byte) []byte {
				i := 1 + r.IntN(len(m)-3)
				return fmt.Appendf(nil, `%s\u%04x%s`, m[:i], m[i], m[i+1:])
			})
		},
		"a text with an escape": func(r *rand.Rand, body []byte) []byte {
			return at(r, body, rawText, func(m []byte) []byte {
				return inText(r, m, oneOf(r, `\u0061`, `\u00e9`, `\/`, `\"`, `\\`, `\n`, `\b`, `\u0000`, `\u2028`, `\ud83d\ude00`, `\ud800`, `\udc00x`, `\ufffd`, `\x41`, `\u12`, `\`))
			})
		},
		"a text that is no UTF-8": func(r *rand.Rand, body []byte) []byte {
			return at(r, body, rawText, func(m []byte) []byte {
				return inText(r, m, oneOf(r, "\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "\xe2\x82"))
			})
		},
		"a text with a raw byte": func(r *rand.Rand, body []byte) []byte {
			return at(r, body, rawText, func(m []byte) []byte {
				return inText(r, m, oneOf(r, "\x00", "\n", "\t", "\x1f", "\x7f", "é", "\u2028", "<", "&", "😀", "\ufffd", "\ufeff"))
			})
		},
		"another number": func(r *rand.Rand, body []byte) []byte {
			return at(r, body, rawNumber, func(m []byte) []byte {
				return append(oneOf(r, "", "0", "-", "+", " "), append(m, oneOf(r, "", "0", ".0", "e0", "E2", "e-1", ".", "e", "00000000000000000000", "_0", "n")...)...)
			})
		},
		"a null": func(r *rand.Rand, body []byte) []byte {
			return at(r, body, rawMember, func(m []byte) []byte {
				return append(m[:bytes.IndexByte(m, ':')+1:bytes.IndexByte(m, ':')+1], oneOf(r, "null", "Null", "nul", "nullx", "null ")...)
			})
		},
		"something before or behind": func(r *rand.Rand, body []byte) []byte {
			if r.IntN(3) == 0 {
				return append(oneOf(r, " ", "\n", "\ufeff", "\x00", "null", "{}", ","), body...)
			}
			return append(bytes.Clone(body), oneOf(r, " ", "\r\n\t", "\x00", "x", "{}", "null", "]", "}", ",", "//", "\xff", "\v", "\u00a0")...)
		},
		"something between": func(r *rand.Rand, body []byte) []byte {
			i := r.IntN(len(body))
			return bytes.Join([][]byte{body[:i], oneOf(r, " ", "\n", "\t", "\v", ",", ":", "{", "}", "[", "]", `"`, "0", "\x00", "/**/", "-", "e"), body[i:]}, nil)
		},
		"something missing": func(r *rand.Rand, body []byte) []byte {
			i := r.IntN(len(body))
			if r.IntN(2) == 0 {
				return body[:i]
			}
			return append(bytes.Clone(body[:i]), body[min(len(body), i+1+r.IntN(3)):]...)
		},
	}
}

// TestHotReadsBytesAlike: what no encoder writes is taken or refused by the short way as by
// that of all routes, with the same words and the same call of the service.
func TestHotReadsBytesAlike(t *testing.T) {
	w := bothWays(t)
	const each = 150
	short, taken := 0, 0
	for path, hot := range hotRoutes(t) {
		for how, spoil := range mangled() {
			r := rand.New(rand.NewPCG(3, 4))
			changed := 0
			for range each {
				body := spoil(r, bytes.Clone(hot.body))
				if !bytes.Equal(body, hot.body) {
					changed++
				}
				if len(body) == 0 {
					continue
				}
				if quick.Read(body, hot.into) {
					short++
				}
				if w.alike(t, hot.role, path, body) == http.StatusOK {
					taken++
				}
			}
			if changed < each/2 {
				t.Errorf("%s: %s changed %d of %d documents", path, how, changed, each)
			}
		}
		for _, body := range []string{"null", "{}", "[]", `""`, "0", " ", "\x00", "{", "nul", "\ufeff{}"} {
			w.alike(t, hot.role, path, []byte(body))
		}
	}
	if short == 0 || taken == 0 {
		t.Errorf("%d went the short way, %d were taken", short, taken)
	}
	t.Logf("%d went the short way, %d were taken", short, taken)
}
