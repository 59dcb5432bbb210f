package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/grafos/grafos/api"
)

const segmentSuffix = ".jsonl"

// peekWindow is how much of a segment's two ends is read to learn its bounds.
const peekWindow = 64 << 10

func segmentName(first uint64) string { return fmt.Sprintf("audit-%020d%s", first, segmentSuffix) }

func firstOf(path string) (uint64, error) {
	digits := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "audit-"), segmentSuffix)
	first, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || first == 0 || filepath.Base(path) != segmentName(first) {
		return 0, &CorruptError{File: path, Why: "its name is not a segment's"}
	}
	return first, nil
}

// lineAt is where one record stands in its segment.
type lineAt struct {
	off  int64
	n    int
	hash string
}

// segmentScan is what reading a whole segment found: its good lines, and why it stopped.
type segmentScan struct {
	lines    []lineAt
	prevHash string
	good     int64  // bytes up to the end of the last good line
	bad      string // what is wrong with what follows; "" is nothing
	torn     bool   // what follows is the beginning of one line
}

// cachedScan is the scan that was made last; reads and replays come in runs.
type cachedScan struct {
	path string
	scan segmentScan
}

func (s *segmentScan) segment(path string, first uint64) segment {
	n := len(s.lines)
	return segment{path: path, first: first, last: first + uint64(n) - 1, prevHash: s.prevHash, lastHash: s.lines[n-1].hash}
}

// scanSegment reads a segment whose first record must be first, and verifies its chain.
func scanSegment(path string, first uint64) (segmentScan, error) {
	f, err := os.Open(path)
	if err != nil {
		return segmentScan{}, fmt.Errorf("read audit segment: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	scan, err := scanLines(f, first)
	if err != nil {
		return segmentScan{}, fmt.Errorf("read audit segment %s: %w", path, err)
	}
	return scan, nil
}

func scanLines(r io.Reader, first uint64) (segmentScan, error) {
	var s segmentScan
	var chain *api.AuditVerifier
	in := bufio.NewReaderSize(r, maxAuditLine)
	for s.bad == "" {
		line, err := in.ReadSlice('\n')
		switch {
		case err == nil:
			s.take(line, first, &chain)
		case errors.Is(err, io.EOF) && len(line) == 0:
			return s, nil
		case errors.Is(err, io.EOF):
			s.bad, s.torn = "a line without its end", true
		case errors.Is(err, bufio.ErrBufferFull):
			s.bad = "a line without end"
		default:
			return segmentScan{}, err
		}
	}
	return s, nil
}

// take adds the next line, or says in bad why it does not belong there.
func (s *segmentScan) take(line []byte, first uint64, chain **api.AuditVerifier) {
	rec, ok := readOwn(line)
	var err error
	if !ok {
		rec, err = parseRecord(line)
	}
	if err == nil && *chain == nil {
		s.prevHash = rec.PrevHash
		*chain = api.NewAuditVerifier(api.AuditHead{Sequence: first - 1, Hash: rec.PrevHash})
	}
	if err == nil {
		err = (*chain).Next(rec)
	}
	if err != nil {
		s.bad = err.Error()
		return
	}
	s.lines = append(s.lines, lineAt{off: s.good, n: len(line), hash: rec.Hash})
	s.good += int64(len(line))
}

// readOwn reads a line that is as appendRecord writes it, with texts that need no escaping; ok
// is false for every other. Whether its data is JSON is left to whoever verifies the chain. A
// node that starts reads all that the log brings again.
func readOwn(line []byte) (rec api.AuditRecord, ok bool) {
	r := lineReader{rest: line}
	rec.Sequence, _ = strconv.ParseUint(r.between(`{"sequence":`, `,"timestamp_unix":`), 10, 64)
	rec.Timestamp, _ = strconv.ParseInt(r.between("", `,"kind":"`), 10, 64)
	rec.Kind = r.between("", `","identity":"`)
	rec.Identity = r.between("", `","event_data":`)
	const hashes = len(`,"prev_event_hash":"`) + len(api.AuditGenesis) + len(`","current_event_hash":"`) + len(api.AuditGenesis) + len("\"}\n")
	if r.bad || len(r.rest) < hashes {
		return rec, false
	}
	data := r.rest[:len(r.rest)-hashes]
	r.rest = r.rest[len(data):]
	rec.PrevHash = r.between(`,"prev_event_hash":"`, `","current_event_hash":"`)
	rec.Hash = r.between("", "\"}\n")
	if r.bad || len(r.rest) > 0 {
		return rec, false
	}
	rec.Data = bytes.Clone(data)
	again, err := appendRecord(make([]byte, 0, len(line)), rec)
	return rec, err == nil && bytes.Equal(again, line)
}

// lineReader cuts texts out of a line. It remembers that it could not.
type lineReader struct {
	rest []byte
	bad  bool
}

// between returns what stands between what comes next and the first of what ends it.
func (r *lineReader) between(before, after string) string {
	rest, ok := bytes.CutPrefix(r.rest, []byte(before))
	text, rest, found := bytes.Cut(rest, []byte(after))
	if !ok || !found {
		r.bad = true
		return ""
	}
	r.rest = rest
	return string(text)
}

// parseRecord reads one line, strictly.
func parseRecord(line []byte) (api.AuditRecord, error) {
	var rec api.AuditRecord
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rec); err != nil {
		return api.AuditRecord{}, fmt.Errorf("a line is not an audit record: %w", err)
	}
	if rest, err := io.ReadAll(io.MultiReader(dec.Buffered(), nothing{})); err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return api.AuditRecord{}, errors.New("a line holds more than an audit record")
	}
	return rec, nil
}

// nothing is a reader at its end.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }

// appendRecord appends one record as a line, the bytes that encoding/json makes of it without
// escaping for HTML: that would change the event data, which is hashed. Every record passes
// here on every scheduler, so it is written by hand; its data is compact JSON already.
func appendRecord(line []byte, rec api.AuditRecord) ([]byte, error) {
	before := len(line)
	line = strconv.AppendUint(append(line, `{"sequence":`...), rec.Sequence, 10)
	line = strconv.AppendInt(append(line, `,"timestamp_unix":`...), rec.Timestamp, 10)
	line = appendJSON(append(line, `,"kind":`...), rec.Kind)
	line = appendJSON(append(line, `,"identity":`...), rec.Identity)
	line = appendData(append(line, `,"event_data":`...), rec.Data)
	line = appendJSON(append(line, `,"prev_event_hash":`...), rec.PrevHash)
	line = appendJSON(append(line, `,"current_event_hash":`...), rec.Hash)
	line = append(line, "}\n"...)
	if n := len(line) - before; n > maxAuditLine {
		return line[:before], fmt.Errorf("audit record %d takes %d bytes, at most %d are kept", rec.Sequence, n, maxAuditLine)
	}
	return line, nil
}

func appendData(b []byte, data json.RawMessage) []byte {
	if data == nil {
		return append(b, "null"...)
	}
	return append(b, data...)
}

// appendJSON appends a text as a JSON string.
func appendJSON(b []byte, s string) []byte {
	if api.PlainJSON(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			var q bytes.Buffer
			enc := json.NewEncoder(&q)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(s); err != nil { // no text is refused
				return b
			}
			return append(b, bytes.TrimSuffix(q.Bytes(), []byte("\n"))...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// peekSegment learns a segment's bounds from its first and last lines only.
func peekSegment(path string, first uint64) (segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return segment{}, fmt.Errorf("read audit segment: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	head, err := bufio.NewReaderSize(f, peekWindow).ReadSlice('\n')
	if err != nil {
		return segment{}, fmt.Errorf("read its first line: %w", err)
	}
	head = bytes.Clone(head)
	info, err := f.Stat()
	if err != nil {
		return segment{}, fmt.Errorf("read audit segment: %w", err)
	}
	from := max(0, info.Size()-peekWindow)
	end := make([]byte, info.Size()-from)
	if _, err := f.ReadAt(end, from); err != nil {
		return segment{}, fmt.Errorf("read its end: %w", err)
	}
	if !bytes.HasSuffix(end, []byte("\n")) {
		return segment{}, errors.New("its last line has no end")
	}
	begin := bytes.LastIndexByte(end[:len(end)-1], '\n') + 1
	if begin == 0 && from > 0 {
		return segment{}, errors.New("its last line is long")
	}
	end = end[begin:]
	one, err := wholeRecord(head)
	if err != nil {
		return segment{}, err
	}
	last, err := wholeRecord(end)
	if err != nil {
		return segment{}, err
	}
	if one.Sequence != first || last.Sequence < first {
		return segment{}, fmt.Errorf("it holds %d to %d", one.Sequence, last.Sequence)
	}
	return segment{path: path, first: first, last: last.Sequence, prevHash: one.PrevHash, lastHash: last.Hash}, nil
}

// wholeRecord reads a line and checks that the record hashes to what it says.
func wholeRecord(line []byte) (api.AuditRecord, error) {
	rec, err := parseRecord(line)
	if err != nil {
		return api.AuditRecord{}, err
	}
	chain := api.NewAuditVerifier(api.AuditHead{Sequence: rec.Sequence - 1, Hash: rec.PrevHash})
	if err := chain.Next(rec); err != nil {
		return api.AuditRecord{}, err
	}
	return rec, nil
}

// keepAside copies what follows the first n bytes of path to a name of its own.
func keepAside(path string, n int64) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("keep damaged audit lines: %w", err)
	}
	defer in.Close() //nolint:errcheck // it was only read
	out, err := os.OpenFile(path+".damaged", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("keep damaged audit lines: %w", err)
	}
	_, err = io.Copy(out, io.NewSectionReader(in, n, 1<<62))
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("keep damaged audit lines: %w", err)
	}
	return nil
}
