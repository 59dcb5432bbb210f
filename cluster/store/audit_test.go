package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// chain makes the first n records of a chain; pad bytes of data each.
func chain(tb testing.TB, n, pad int) []api.AuditRecord {
	tb.Helper()
	recs, prev := make([]api.AuditRecord, n), api.AuditGenesis
	for i := range recs {
		kind := []string{"lease_granted", "lease_renewed", "cell_ready"}[i%3]
		r := api.AuditRecord{
			Sequence: uint64(i + 1), Timestamp: int64(1_700_000_000 + i), Kind: kind, Identity: fmt.Sprintf("tenant/t%d", i%2),
			Data: json.RawMessage(fmt.Sprintf(`{"n":%d,"why":"a<b & c>d","pad":%q}`, i, strings.Repeat("x", pad))), PrevHash: prev,
		}
		var err error
		if r.Hash, err = api.AuditHash(r); err != nil {
			tb.Fatal(err)
		}
		recs[i], prev = r, r.Hash
	}
	return recs
}

func openAudit(t *testing.T, dir string) *Audit {
	t.Helper()
	a, err := OpenAudit(dir, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	a.size = 64 << 10
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// readAll reads the chain by pages and verifies it.
func readAll(t *testing.T, a *Audit, limit int) []api.AuditRecord {
	t.Helper()
	var all []api.AuditRecord
	v := api.NewAuditVerifier(api.AuditHead{})
	for next := uint64(1); next != 0; {
		page, n, err := a.Read(api.AuditFilter{From: next, Limit: limit})
		must(t, err)
		for _, r := range page {
			must(t, v.Next(r))
		}
		all, next = append(all, page...), n
	}
	return all
}

func TestAuditKeepsTheChain(t *testing.T) {
	dir := t.TempDir()
	recs := chain(t, 25, 10)
	a := openAudit(t, dir)
	if h := a.Head(); h != (api.AuditHead{}) {
		t.Errorf("empty store has head %v", h)
	}
	must(t, a.Append(recs[:10]))
	must(t, a.Append(recs[10:]))
	if d := cmp.Diff(recs, readAll(t, a, 7)); d != "" {
		t.Errorf("before sync (-want +got):\n%s", d)
	}
	must(t, a.Sync())
	must(t, a.Close())
	must(t, a.Close())
	if err := a.Append(recs); err == nil {
		t.Error("a closed store took records")
	}

	a = openAudit(t, dir)
	if d := cmp.Diff(recs, readAll(t, a, 1000)); d != "" {
		t.Errorf("after opening again (-want +got):\n%s", d)
	}
	if h := a.Head(); h.Sequence != 25 || h.Hash != recs[24].Hash {
		t.Errorf("head %v", h)
	}
	if _, _, ok := a.Missing(); ok {
		t.Error("something is missing")
	}
}

func TestAuditFilters(t *testing.T) {
	a := openAudit(t, t.TempDir())
	recs := chain(t, 30, 0)
	must(t, a.Append(recs))
	tests := []struct {
		name string
		f    api.AuditFilter
		want []uint64
		next uint64
	}{
		{"a kind", api.AuditFilter{Kind: "cell_ready", To: 9}, []uint64{3, 6, 9}, 0},
		{"an identity", api.AuditFilter{Identity: "tenant/t1", From: 25}, []uint64{26, 28, 30}, 0},
		{"both, limited", api.AuditFilter{Kind: "cell_ready", Identity: "tenant/t1", Limit: 2}, []uint64{6, 12}, 13},
		{"beyond the head", api.AuditFilter{From: 31}, nil, 0},
		{"up to beyond the head", api.AuditFilter{From: 30, To: 99}, []uint64{30}, 0},
		{"nothing in between", api.AuditFilter{From: 5, To: 4}, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, next, err := a.Read(tt.f)
			must(t, err)
			var seqs []uint64
			for _, r := range got {
				seqs = append(seqs, r.Sequence)
			}
			if !slices.Equal(seqs, tt.want) || next != tt.next {
				t.Errorf("got %v then %d, want %v then %d", seqs, next, tt.want, tt.next)
			}
		})
	}
}

// TestAuditTornAtEveryByte cuts the file everywhere, as kill -9 may, replays the chain over
// what is left, and wants all of it back.
func TestAuditTornAtEveryByte(t *testing.T) {
	recs := chain(t, 3, 3)
	src := t.TempDir()
	a := openAudit(t, src)
	must(t, a.Append(recs))
	must(t, a.Close())
	name := segmentName(1)
	whole, err := os.ReadFile(filepath.Join(src, name))
	must(t, err)
	for n := range len(whole) + 1 {
		dir := filepath.Join(t.TempDir(), "audit")
		must(t, os.MkdirAll(dir, 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name), whole[:n], 0o600))
		a, err := OpenAudit(dir, hclog.NewNullLogger())
		must(t, err)
		lines := bytes.Count(whole[:n], []byte("\n"))
		if h := a.Head(); h.Sequence != uint64(lines) {
			t.Fatalf("cut to %d bytes: head %d, want %d", n, h.Sequence, lines)
		}
		must(t, a.Append(recs[min(lines, 1):])) // a replay begins before the end
		if d := cmp.Diff(recs, readAll(t, a, 2)); d != "" {
			t.Fatalf("cut to %d bytes (-want +got):\n%s", n, d)
		}
		must(t, a.Close())
		if scan, err := scanSegment(filepath.Join(dir, name), 1); err != nil || scan.bad != "" || len(scan.lines) != len(recs) {
			t.Fatalf("cut to %d bytes: the file is not whole again: %d lines, %s, %v", n, len(scan.lines), scan.bad, err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*.damaged")); err != nil || len(left) != 0 {
			t.Fatalf("a torn line was taken for damage: %v %v", left, err)
		}
	}
}

func TestAuditKill(t *testing.T) {
	recs := chain(t, 2000, 100)
	dir, after := t.TempDir(), t.TempDir()
	a := openAudit(t, dir)
	must(t, a.Append(recs[:1200]))
	must(t, a.Sync())
	must(t, a.Append(recs[1200:]))
	must(t, os.CopyFS(filepath.Join(after, "audit"), os.DirFS(dir))) // what kill -9 leaves: the buffer is lost
	b := openAudit(t, filepath.Join(after, "audit"))
	if h := b.Head(); h.Sequence < 1200 || h.Sequence == 2000 {
		t.Fatalf("head %d: synced records are kept, and something is lost for this test to mean anything", h.Sequence)
	}
	must(t, b.Append(recs[1100:]))
	if d := cmp.Diff(recs, readAll(t, b, 1000)); d != "" {
		t.Error(d)
	}
}

func TestAuditReplayIsCompared(t *testing.T) {
	recs := chain(t, 10, 0)
	a := openAudit(t, t.TempDir())
	must(t, a.Append(recs))
	must(t, a.Append(recs))
	other := slices.Clone(recs)
	other[6].Kind = "lease_expired"
	var err error
	other[6].Hash, err = api.AuditHash(other[6])
	must(t, err)
	c, ok := errors.AsType[*CorruptError](a.Append(other[6:7]))
	if !ok || c.Index != 7 {
		t.Errorf("another record 7: got %v", c)
	}
	fork := api.AuditRecord{Sequence: 11, Kind: "x", Data: json.RawMessage("{}"), PrevHash: recs[3].Hash}
	fork.Hash, err = api.AuditHash(fork)
	must(t, err)
	if c, ok := errors.AsType[*CorruptError](a.Append([]api.AuditRecord{fork})); !ok || c.Index != 11 {
		t.Errorf("a record of another chain: got %v", c)
	}
	if err := a.Append([]api.AuditRecord{{}}); err == nil {
		t.Error("a record without a sequence was taken")
	}
	if d := cmp.Diff(recs, readAll(t, a, 100)); d != "" {
		t.Error(d)
	}
}

func TestAuditSegmentsRotate(t *testing.T) {
	dir := t.TempDir()
	recs := chain(t, 3000, 100)
	a := openAudit(t, dir)
	for i := 0; i < len(recs); i += 100 {
		must(t, a.Append(recs[i:i+100]))
		if i%1000 == 0 {
			must(t, a.Sync())
		}
	}
	must(t, a.Close())
	names, err := segmentFiles(dir)
	must(t, err)
	if len(names) < 3 {
		t.Fatalf("%d segments", len(names))
	}
	a = openAudit(t, dir)
	if got := readAll(t, a, 1000); len(got) != len(recs) {
		t.Fatalf("read %d records of %d", len(got), len(recs))
	}
	must(t, a.Append(recs[10:20])) // a replay that begins in the first segment
	got, next, err := a.Read(api.AuditFilter{Kind: "nothing"})
	if len(got) != 0 || next != 0 || err != nil {
		t.Errorf("got %d records, next %d, %v", len(got), next, err)
	}
}

func TestAuditBackfill(t *testing.T) {
	recs := chain(t, 2000, 0)
	dir := t.TempDir()
	a := openAudit(t, dir)
	must(t, a.Append(recs[:100]))
	must(t, a.Append(recs[1500:1600])) // a snapshot was installed in between
	must(t, a.Append(recs[1700:]))     // and again
	if from, to, ok := a.Missing(); from != 1601 || to != 1700 || !ok {
		t.Fatalf("missing %d to %d, %v", from, to, ok)
	}
	if _, _, err := a.Read(api.AuditFilter{From: 90, Limit: 50}); err == nil {
		t.Error("a gap was read over in silence")
	} else if m, ok := errors.AsType[*MissingError](err); !ok || m.From != 101 || m.To != 1500 {
		t.Errorf("got %v", err)
	}

	forged := slices.Clone(recs[1600:1700])
	forged[50].Identity = "tenant/mallory"
	swapped := slices.Clone(recs[1600:1700])
	swapped[3], swapped[4] = swapped[4], swapped[3]
	for name, page := range map[string][]api.AuditRecord{
		"nothing": nil, "not up to the gap's end": recs[1600:1690], "too much": recs[1600:1701], "from before the gap": recs[1599:1700],
		"an altered record": forged, "swapped records": swapped, "a dropped record": slices.Delete(slices.Clone(recs[1600:1700]), 5, 6),
		"another chain": relinked(t, recs[1600:1700]), "the end of another chain": relinked(t, recs[1650:1700]),
	} {
		if err := a.Backfill(page); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	must(t, a.Close())
	must(t, os.WriteFile(filepath.Join(dir, segmentName(7)+".tmp"), []byte("half a backfill"), 0o600))

	a = openAudit(t, dir)
	must(t, a.Backfill(recs[1650:1700]))
	pages := 0
	for from, to, ok := a.Missing(); ok; from, to, ok = a.Missing() {
		if to-from >= MaxBackfill {
			t.Fatalf("a page of %d to %d", from, to)
		}
		must(t, a.Backfill(recs[from-1:to]))
		pages++
	}
	if pages != 4 {
		t.Errorf("took %d pages", pages)
	}
	if err := a.Backfill(recs[:1]); err == nil {
		t.Error("a backfill of what is not missing was taken")
	}
	must(t, a.Close())
	a = openAudit(t, dir)
	if d := cmp.Diff(recs, readAll(t, a, 700)); d != "" {
		t.Error(d)
	}
}

// relinked is recs with another past: each record is sound, the whole is another chain.
func relinked(t *testing.T, recs []api.AuditRecord) []api.AuditRecord {
	t.Helper()
	out := slices.Clone(recs)
	out[0].PrevHash = strings.Repeat("ab", 32)
	for i := range out {
		if i > 0 {
			out[i].PrevHash = out[i-1].Hash
		}
		hash, err := api.AuditHash(out[i])
		must(t, err)
		out[i].Hash = hash
	}
	return out
}

func TestAuditDamageIsFound(t *testing.T) {
	recs := chain(t, 600, 100)
	alter := func(b []byte) []byte { return bytes.Replace(b, []byte("tenant/t1"), []byte("tenant/tX"), 1) }
	drop := func(b []byte) []byte {
		i := bytes.IndexByte(b, '\n') + 1
		return append(bytes.Clone(b[:i]), b[i+bytes.IndexByte(b[i:], '\n')+1:]...)
	}
	for name, damage := range map[string]func([]byte) []byte{"altered": alter, "dropped": drop} {
		for _, which := range []string{"first", "last"} {
			t.Run(name+" in the "+which, func(t *testing.T) {
				dir := t.TempDir()
				a := openAudit(t, dir)
				must(t, a.Append(recs))
				must(t, a.Close())
				names, err := segmentFiles(dir)
				must(t, err)
				path := filepath.Join(dir, names[0])
				if which == "last" {
					path = filepath.Join(dir, names[len(names)-1])
				}
				b, err := os.ReadFile(path)
				must(t, err)
				must(t, os.WriteFile(path, damage(b), 0o600))

				a = openAudit(t, dir)
				if which == "last" {
					if h := a.Head(); h.Sequence >= 600 {
						t.Fatalf("head %d: nothing was noticed", h.Sequence)
					}
					must(t, a.Append(recs[595:])) // leaves a gap
				} else if _, _, err := a.Read(api.AuditFilter{From: 1}); err == nil {
					t.Fatal("read as if nothing were")
				}
				for from, to, ok := a.Missing(); ok; from, to, ok = a.Missing() {
					must(t, a.Backfill(recs[from-1:to]))
				}
				if got := readAll(t, a, 1000); len(got) != len(recs) {
					t.Errorf("%d of %d records after the backfill", len(got), len(recs))
				}
				if left, err := filepath.Glob(filepath.Join(dir, "*.damaged")); err != nil || len(left) != 1 {
					t.Errorf("the damaged lines were not kept: %v %v", left, err)
				}
			})
		}
	}
}

func TestAuditRefusesForeignFiles(t *testing.T) {
	recs := chain(t, 20, 0)
	write := func(dir, name string, recs []api.AuditRecord) {
		var b bytes.Buffer
		for _, r := range recs {
			line, err := appendRecord(nil, r)
			must(t, err)
			b.Write(line)
		}
		must(t, os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600))
	}
	tests := map[string]func(dir string){
		"overlapping segments": func(dir string) {
			write(dir, segmentName(1), recs[:10])
			write(dir, segmentName(8), recs[7:])
		},
		"segments of two chains": func(dir string) {
			write(dir, segmentName(1), recs[:10])
			write(dir, segmentName(11), relinked(t, recs[10:]))
		},
		"a name that is no sequence": func(dir string) { write(dir, "audit-7.jsonl", recs[6:]) },
	}
	for name, fill := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fill(dir)
			_, err := OpenAudit(dir, hclog.NewNullLogger())
			if _, ok := errors.AsType[*CorruptError](err); !ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAuditIsSafeForManyAtOnce(t *testing.T) {
	recs := chain(t, 3000, 100)
	a := openAudit(t, t.TempDir())
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := a.Sync(); err != nil {
					t.Error(err)
				}
				if _, _, err := a.Read(api.AuditFilter{Limit: 10}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, r := range recs {
		must(t, a.Append([]api.AuditRecord{r}))
	}
	close(done)
	wg.Wait()
	if got := readAll(t, a, 1000); len(got) != len(recs) {
		t.Errorf("read %d", len(got))
	}
}

func TestAuditStopsAtAFailedWrite(t *testing.T) {
	recs := chain(t, 3, 0)
	a, err := OpenAudit(t.TempDir(), hclog.NewNullLogger())
	must(t, err)
	must(t, a.Append(recs[:1]))
	must(t, a.tail.f.Close())
	if err := a.Sync(); err == nil {
		t.Fatal("a sync that wrote nowhere succeeded")
	}
	if err := a.Append(recs[1:]); err == nil {
		t.Error("a record was taken after a failed sync")
	}
	if err := a.Sync(); err == nil {
		t.Error("the second sync forgot the first one's failure")
	}
}

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
