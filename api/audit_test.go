package api

import (
	"encoding/json"
	"fmt"
	"testing"
)

func chainOf(t *testing.T, n int) []AuditRecord {
	t.Helper()
	prev := AuditGenesis
	var records []AuditRecord
	for i := range n {
		r := AuditRecord{
			Sequence: uint64(i + 1), Timestamp: int64(1000 + i), Kind: "lease_granted", Identity: "tenant/acme",
			Data: json.RawMessage(fmt.Sprintf(`{"lease_id":"l-%d"}`, i)), PrevHash: prev,
		}
		hash, err := AuditHash(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Hash, prev = hash, hash
		records = append(records, r)
	}
	return records
}

func verify(records []AuditRecord) error {
	v := NewAuditVerifier(AuditHead{})
	for _, r := range records {
		if err := v.Next(r); err != nil {
			return err
		}
	}
	return nil
}

// TestAuditVerifiesAsItHashes: whatever the data looks like, a record verifies when and only
// when AuditHash says its hash.
func TestAuditVerifiesAsItHashes(t *testing.T) {
	for _, data := range []string{
		`{}`, `{ }`, `{"a":"b c\t"}`, `{"a":"\""} `, `{"a":"\\"}`, `{"a":"\\ "}`, ` 1`, `1`, `nul`, ``, `{"a" :1}`, `"\"`, "\"\n\"", `{"a":1}}`,
	} {
		r := AuditRecord{Sequence: 1, Data: json.RawMessage(data), PrevHash: AuditGenesis}
		want, err := AuditHash(r)
		for _, r.Hash = range []string{want, AuditHashCompact(r)} {
			if got := verify([]AuditRecord{r}) == nil; got != (err == nil && r.Hash == want) {
				t.Errorf("%q with hash %.8s verifies: %v, AuditHash says %.8s, %v", data, r.Hash, got, want, err)
			}
		}
	}
}

// TestAuditFindsTampering: one altered, dropped, swapped or inserted record is found (L9).
func TestAuditFindsTampering(t *testing.T) {
	if err := verify(chainOf(t, 8)); err != nil {
		t.Fatalf("an untouched chain: %v", err)
	}
	spaced := chainOf(t, 3)
	spaced[1].Data = json.RawMessage(`{ "lease_id" : "l-1" }`)
	if err := verify(spaced); err != nil {
		t.Errorf("white space is no change: %v", err)
	}
	tests := map[string]func([]AuditRecord) []AuditRecord{
		"data":     func(r []AuditRecord) []AuditRecord { r[3].Data = json.RawMessage(`{"lease_id":"l-9"}`); return r },
		"kind":     func(r []AuditRecord) []AuditRecord { r[3].Kind = "lease_renewed"; return r },
		"identity": func(r []AuditRecord) []AuditRecord { r[3].Identity = "tenant/other"; return r },
		"time":     func(r []AuditRecord) []AuditRecord { r[3].Timestamp++; return r },
		"hash":     func(r []AuditRecord) []AuditRecord { r[3].Hash = AuditGenesis; return r },
		"previous": func(r []AuditRecord) []AuditRecord { r[3].PrevHash = AuditGenesis; return r },
		"dropped":  func(r []AuditRecord) []AuditRecord { return append(r[:3], r[4:]...) },
		"swapped":  func(r []AuditRecord) []AuditRecord { r[3], r[4] = r[4], r[3]; return r },
		"inserted": func(r []AuditRecord) []AuditRecord { return append(r[:4], r[3:]...) },
		"no json":  func(r []AuditRecord) []AuditRecord { r[3].Data = json.RawMessage(`{`); return r },
	}
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			if err := verify(tamper(chainOf(t, 8))); KindOf(err) != Conflict {
				t.Errorf("not found: %v", err)
			}
		})
	}
}
