package store

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

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

// TestAuditSyncsWhatEnded: ended segments come to the disk also where nobody asks for it.
func TestAuditSyncsWhatEnded(t *testing.T) {
	t.Parallel()
	a := openAudit(t, t.TempDir())
	recs := chain(t, 2000, 500)
	for part := range slices.Chunk(recs, 100) {
		must(t, a.Append(part))
	}
	a.syncing.Wait()
	if len(a.segs) < 2*maxRetired || len(a.retired) > 0 || a.syncs {
		t.Errorf("%d segments, %d are not on the disk", len(a.segs), len(a.retired))
	}
	must(t, a.Sync())
	if got := readAll(t, a, 300); len(got) != len(recs) {
		t.Errorf("%d records, want %d", len(got), len(recs))
	}
	must(t, a.Close())
	if err := a.Append(recs[:1]); err == nil {
		t.Error("appended to a closed store")
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
