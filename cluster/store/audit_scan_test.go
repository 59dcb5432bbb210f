package store

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// TestAppendRecord: a line is what encoding/json makes of the record.
func TestAppendRecord(t *testing.T) {
	recs := chain(t, 3, 2)
	texts := []string{"", "plain", "tenant/äöü", "a\"b\\c", "<&>", "line\u2028end", "\x00\x1f\x7f", "bad \xff byte", "tab\t"}
	for i, text := range texts {
		recs = append(recs, api.AuditRecord{
			Sequence: uint64(i) << 40, Timestamp: -int64(i), Kind: text, Identity: text, Data: json.RawMessage(`{"a":"b c<\u2028"}`), PrevHash: text, Hash: text,
		})
	}
	recs = append(recs, api.AuditRecord{})
	for _, rec := range recs {
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		must(t, enc.Encode(rec))
		got, err := appendRecord([]byte("before"), rec)
		must(t, err)
		if string(got) != "before"+want.String() {
			t.Errorf("%q, want %q", got, want.String())
		}
	}
	long := api.AuditRecord{Sequence: 1, Identity: strings.Repeat("x", maxAuditLine)}
	if line, err := appendRecord([]byte("before"), long); err == nil || string(line) != "before" {
		t.Errorf("a record over the bound: %d bytes, %v", len(line), err)
	}
}

// TestReadOwn reads what appendRecord wrote of plain texts as parseRecord does, and leaves
// everything else to that.
func TestReadOwn(t *testing.T) {
	rec := chain(t, 3, 5)[2]
	line, err := appendRecord(nil, rec)
	must(t, err)
	got, ok := readOwn(line)
	if diff := cmp.Diff(rec, got); !ok || diff != "" {
		t.Fatalf("%v %s", ok, diff)
	}
	for i := range line {
		for _, c := range []byte{' ', '"', '0', 'x', '{', '\\', 0, 0xff} {
			changed := bytes.Clone(line)
			changed[i] = c
			got, ok := readOwn(changed)
			if !ok || !json.Valid(got.Data) {
				continue
			}
			if want, err := parseRecord(changed); err != nil || !cmp.Equal(want, got) {
				t.Errorf("%q is read as %+v, not %+v: %v", changed, got, want, err)
			}
		}
	}
	for n := range line {
		if _, ok := readOwn(line[:n]); ok {
			t.Errorf("%d bytes are read", n)
		}
	}
}

// BenchmarkScan reads and verifies a segment.
func BenchmarkScan(b *testing.B) {
	var lines []byte
	recs := chain(b, 5000, 300)
	for _, r := range recs {
		lines, _ = appendRecord(lines, r)
	}
	b.SetBytes(int64(len(lines)))
	for b.Loop() {
		if s, err := scanLines(bytes.NewReader(lines), 1); err != nil || len(s.lines) != len(recs) {
			b.Fatal(err)
		}
	}
}

func FuzzScanLines(f *testing.F) {
	var b bytes.Buffer
	for _, r := range chain(f, 3, 2) {
		line, err := appendRecord(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		b.Write(line)
	}
	f.Add(b.Bytes())
	f.Add([]byte("{}\n\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := scanLines(bytes.NewReader(b), 1)
		if err != nil {
			t.Fatal(err)
		}
		if s.good > int64(len(b)) || (s.bad == "") != (s.good == int64(len(b))) {
			t.Errorf("%d of %d bytes are good, bad %q", s.good, len(b), s.bad)
		}
	})
}

func BenchmarkAuditAppend(b *testing.B) {
	recs := chain(b, 100, 200)
	for b.Loop() {
		b.StopTimer()
		a, err := OpenAudit(b.TempDir(), hclog.NewNullLogger())
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := a.Append(recs); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := a.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
