package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// brokenChains are the ways in which a chain can be wrong, and the record that each is told by.
func brokenChains() map[string]struct {
	harm func(*fake)
	says string
} {
	return map[string]struct {
		harm func(*fake)
		says string
	}{
		"altered":       {func(f *fake) { f.records[1].Identity = "operator/eve" }, "audit record 2 was altered"},
		"altered data":  {func(f *fake) { f.records[2].Data = json.RawMessage(`{"n":4}`) }, "audit record 3 was altered"},
		"dropped":       {func(f *fake) { f.records = append(f.records[:1:1], f.records[2:]...) }, "audit record 3 follows record 1"},
		"swapped":       {func(f *fake) { f.records[0], f.records[1] = f.records[1], f.records[0] }, "audit record 2 follows record 0"},
		"another chain": {func(f *fake) { f.records[1].PrevHash = f.records[2].Hash }, "audit record 2 does not chain"},
	}
}

func TestAuditVerifyNamesTheRecord(t *testing.T) {
	for name, tt := range brokenChains() {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			tt.harm(r.fake)
			r.run("admin", "audit-verify").want(t, 1, "", tt.says)
			got := r.run("admin", "audit-verify", "--json")
			got.want(t, 1, `"ok":false`, tt.says)
			var p api.Error
			if err := json.Unmarshal([]byte(got.err), &p); err != nil {
				t.Errorf("stderr is no problem document: %v", err)
			}
		})
	}
}

func TestAuditVerifyComparesTheHead(t *testing.T) {
	r := newRig(t)
	r.head.Hash = strings.Repeat("0", 64)
	r.run("admin", "audit-verify").want(t, 1, "", "audit record 3 has the hash")
	r = newRig(t)
	r.records = append(r.records, api.AuditRecord{Sequence: 4, PrevHash: r.head.Hash, Data: json.RawMessage(`{}`)})
	hash, err := api.AuditHash(r.records[3])
	if err != nil {
		t.Fatal(err)
	}
	r.records[3].Hash = hash
	r.run("admin", "audit-verify").want(t, 1, "", "beyond the head")
	r = newRig(t)
	r.records, r.head = nil, api.AuditHead{}
	r.run("admin", "audit-verify", "--json").want(t, 0, `"records":0`, "")
}

func TestAuditVerifyFile(t *testing.T) {
	r := newRig(t)
	export := r.run("admin", "audit-query", "--json").out
	r.file("chain.jsonl", export)
	r.env = map[string]string{} // no cluster
	r.run("admin", "audit-verify", "--file", "chain.jsonl", "--json").want(t, 0, `"ok":true,"records":3`, "")

	r.file("altered.jsonl", strings.Replace(export, "cell_registered", "cell_registred", 1))
	r.run("admin", "audit-verify", "--file", "altered.jsonl").want(t, 1, "", "audit record 2 was altered")
	lines := strings.SplitAfter(export, "\n")
	r.file("gap.jsonl", lines[0]+lines[2])
	r.run("admin", "audit-verify", "--file", "gap.jsonl").want(t, 1, "", "record 3 follows record 1")
	r.file("tail.jsonl", lines[1]+lines[2])
	r.env["GRAFOS_FORCE_TTY"] = "100"
	r.run("admin", "audit-verify", "--file", "tail.jsonl").want(t, 0, "from record 2 on", "")
	r.file("junk.jsonl", "junk\n")
	r.run("admin", "audit-verify", "--file", "junk.jsonl").want(t, 1, "", "junk.jsonl:1")
	r.file("empty.jsonl", "")
	r.run("admin", "audit-verify", "--file", "empty.jsonl").want(t, 1, "", "no audit record")
	r.run("admin", "audit-verify", "--file", "gone.jsonl").want(t, 2, "", "gone.jsonl")
}

func TestAuditVerifyUnreachable(t *testing.T) {
	r := newRig(t)
	r.err = api.Refuse(api.NoLeader, "no leader")
	got := r.run("admin", "audit-verify", "--json")
	if p := got.problem(t); got.code != 8 || p.Kind != api.NoLeader {
		t.Errorf("exit %d, kind %s", got.code, p.Kind)
	}
}

func TestSetQuotaKeepsWhatIsNotGiven(t *testing.T) {
	r := newRig(t)
	r.run("admin", "set-quota", "acme", "--mem", "1G", "--gpu", "unlimited").want(t, 0, "", "")
	want := api.Quota{CPU: 20_000, Mem: gib, Block: api.Unlimited, Net: api.Unlimited, GPU: api.Unlimited, Leases: 100}
	if r.quota != want {
		t.Errorf("quota is %+v, want %+v", r.quota, want)
	}
}

func TestAuditQueryLimits(t *testing.T) {
	r := newRig(t)
	if got := r.run("admin", "audit-query", "--limit", "2", "-o", "name"); got.out != "1\n2\n" {
		t.Errorf("%q", got.out)
	}
	if got := r.run("admin", "audit-query", "--from", "2", "-o", "name"); got.out != "2\n3\n" {
		t.Errorf("%q", got.out)
	}
}

func FuzzAuditFile(f *testing.F) {
	f.Add("{}\n")
	f.Add("{\"sequence\":2,\"event_data\":{}}\n\n{\"sequence\":3}\n")
	f.Fuzz(func(t *testing.T, text string) {
		verdict := &auditVerdict{}
		if err := verdict.read(strings.NewReader(text), "f"); err == nil && verdict.Records == 0 {
			t.Error("nothing was checked and all was well")
		}
	})
}
