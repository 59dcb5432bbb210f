package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

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
