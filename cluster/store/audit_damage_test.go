package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

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
