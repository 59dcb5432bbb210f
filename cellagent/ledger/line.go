package ledger

import (
	"bytes"
	"errors"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/grafos/grafos/api"
)

// A line is the checksum of its body in hex, a blank, the body, and a line feed. A body is a
// letter that says what it is, and fields with one blank before each; what is no plain word is
// quoted, so that no line holds a line feed.
const (
	lineFloor  = 'f' // cluster epoch, fencing number
	lineLifted = 'l' // lease, epoch: its fence was lifted
	lineDoubt  = 'd' // 1 or 0: what was accepted before is not known
	lineBoot   = 'o' // the boot of those that wrote what follows
)

// sumLen is the length of a checksum.
const sumLen = 8

var errLine = errors.New("not a line of a ledger")

// seal writes the checksum of a line, whose body begins at sumLen+1 behind start, and ends it.
func seal(to []byte, start int) []byte {
	const digits = "0123456789abcdef"
	sum := crc32.ChecksumIEEE(to[start+sumLen+1:])
	for i := range sumLen {
		to[start+i] = digits[sum>>(28-4*i)&0xf]
	}
	return append(to, '\n')
}

// begin leaves room for the checksum of a line and writes what it is.
func begin(to []byte, what byte) []byte { return append(append(to, "00000000 "...), what) }

func appendFloor(to []byte, f Floor) []byte {
	start := len(to)
	to = appendUint(appendUint(begin(to, lineFloor), f.Cluster), f.Epoch)
	return seal(to, start)
}

func appendDoubt(to []byte, doubt bool) []byte {
	start, n := len(to), uint64(0)
	if doubt {
		n = 1
	}
	return seal(appendUint(begin(to, lineDoubt), n), start)
}

func appendBoot(to []byte, bootID string) []byte {
	start := len(to)
	return seal(appendWord(begin(to, lineBoot), bootID), start)
}

func appendLifted(to []byte, id api.LeaseID, epoch uint64) []byte {
	start := len(to)
	return seal(appendUint(appendWord(begin(to, lineLifted), string(id)), epoch), start)
}

// appendEntry writes what is known of a lease. Of one that has ended that is little.
func appendEntry(to []byte, e *Entry) []byte {
	start := len(to)
	to = appendWord(begin(to, byte(e.Phase)), string(e.Lease))
	to = appendUint(appendUint(to, e.Epoch), e.Generation)
	if e.Phase == Ended {
		return seal(to, start)
	}
	for _, w := range [...]string{string(e.Tenant), string(e.Kind), string(e.Use), string(e.Run)} {
		to = appendWord(to, w)
	}
	to = appendWord(appendInt(to, e.Amount), e.BootID)
	to = appendInt(to, e.Deadline)
	if e.Phase == Fenced {
		to = appendUint(appendWord(appendWord(to, e.Path), e.Reason), e.Known)
	}
	if e.Kind == api.KindGPU && e.GPU != nil {
		to = appendWord(to, e.GPU.Query())
	}
	return seal(to, start)
}

func appendUint(to []byte, n uint64) []byte { return strconv.AppendUint(append(to, ' '), n, 10) }

func appendInt(to []byte, n int64) []byte { return strconv.AppendInt(append(to, ' '), n, 10) }

// appendWord writes a text: as it is, where it is a plain word, else quoted.
func appendWord(to []byte, w string) []byte {
	to = append(to, ' ')
	plain := w != "" && w[0] != '"'
	for i := 0; plain && i < len(w); i++ {
		plain = w[i] > ' ' && w[i] < 0x7f
	}
	if plain {
		return append(to, w...)
	}
	return strconv.AppendQuoteToASCII(to, w)
}

// words reads the fields of a body one after the other; the first that cannot be read is its error.
type words struct {
	rest string
	err  error
}

// raw returns the next field as it stands there.
func (w *words) raw() string {
	if w.err != nil || !strings.HasPrefix(w.rest, " ") {
		w.err = errLine
		return ""
	}
	w.rest = w.rest[1:]
	if strings.HasPrefix(w.rest, `"`) {
		quoted, err := strconv.QuotedPrefix(w.rest)
		if err != nil {
			w.err = errLine
			return ""
		}
		w.rest = w.rest[len(quoted):]
		return quoted
	}
	field, _, _ := strings.Cut(w.rest, " ")
	w.rest = w.rest[len(field):]
	return field
}

func (w *words) text() string {
	field := w.raw()
	if !strings.HasPrefix(field, `"`) {
		if field == "" {
			w.err = errLine
		}
		return field
	}
	s, err := strconv.Unquote(field)
	if err != nil {
		w.err = errLine
	}
	return s
}

func (w *words) uint() uint64 {
	n, err := strconv.ParseUint(w.raw(), 10, 64)
	if err != nil {
		w.err = errLine
	}
	return n
}

func (w *words) int() int64 {
	n, err := strconv.ParseInt(w.raw(), 10, 64)
	if err != nil {
		w.err = errLine
	}
	return n
}

func (w *words) gpu() *api.GPUTerms {
	g, err := api.ParseGPUQuery(w.text())
	if err != nil {
		w.err = errLine
	}
	return g
}

// body returns the body of a line, when its checksum is right.
func body(line []byte) (string, error) {
	if len(line) < sumLen+2 || line[sumLen] != ' ' {
		return "", errLine
	}
	sum, err := strconv.ParseUint(string(line[:sumLen]), 16, 32)
	rest := line[sumLen+1:]
	if err != nil || uint32(sum) != crc32.ChecksumIEEE(rest) {
		return "", errLine
	}
	return string(rest), nil
}

// readEntry reads what stands behind the phase of an entry.
func readEntry(phase Phase, rest string) (Entry, error) {
	w := words{rest: rest}
	e := Entry{Phase: phase, Lease: api.LeaseID(w.text()), Epoch: w.uint(), Generation: w.uint()}
	if phase != Ended {
		e.Tenant, e.Kind = api.TenantID(w.text()), api.LeaseKind(w.text())
		e.Use, e.Run = api.Use(w.text()), api.RunID(w.text())
		e.Amount, e.BootID, e.Deadline = w.int(), w.text(), w.int()
	}
	if phase == Fenced {
		e.Path, e.Reason, e.Known = w.text(), w.text(), w.uint()
	}
	if e.Kind == api.KindGPU && w.rest != "" {
		e.GPU = w.gpu()
	}
	if w.err == nil && (w.rest != "" || e.Lease == "" || phase != Ended && e.Amount <= 0) {
		w.err = errLine
	}
	return e, w.err
}

// read takes a file's content into a book. damaged counts the lines that say nothing; a last line
// without its end is none of them.
func read(b *book, content []byte) (damaged int) {
	for len(content) > 0 {
		line, rest, whole := bytes.Cut(content, []byte{'\n'})
		content = rest
		if !whole {
			break
		}
		text, err := body(line)
		if err == nil {
			err = b.take(text)
		}
		if err != nil {
			damaged++
		}
	}
	return damaged
}

// take reads one body.
func (b *book) take(text string) error {
	w := words{rest: text[1:]}
	switch what := text[0]; what {
	case lineFloor:
		f := Floor{Cluster: w.uint(), Epoch: w.uint()}
		if w.err == nil && w.rest == "" {
			b.floor = b.floor.Raise(f)
			return nil
		}
	case lineDoubt:
		n := w.uint()
		if w.err == nil && w.rest == "" {
			b.doubt = n != 0
			return nil
		}
	case lineBoot:
		boot := w.text()
		if w.err == nil && w.rest == "" {
			b.boot = boot
			return nil
		}
	case lineLifted:
		id, epoch := api.LeaseID(w.text()), w.uint()
		if w.err == nil && w.rest == "" {
			b.lift(id, epoch)
			return nil
		}
	case byte(Accepted), byte(Ended), byte(Fenced):
		e, err := readEntry(Phase(what), text[1:])
		if err != nil {
			return err
		}
		b.note(e)
		return nil
	}
	return errLine
}
