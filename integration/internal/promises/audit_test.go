package promises

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/binding"
)

// TestLedger replays chains in which one promise is broken, and one in which none is.
func TestLedger(t *testing.T) {
	const unit = 1 << 20
	about := func(kind, lease string) api.AuditRecord {
		data, err := json.Marshal(Fact{Lease: api.LeaseID(lease), Tenant: "t", Cell: "c", Kind: api.KindMem, Amount: unit})
		if err != nil {
			t.Fatal(err)
		}
		return api.AuditRecord{Kind: kind, Data: data}
	}
	ended := func(reason string) api.AuditRecord {
		data, err := json.Marshal(Fact{Lease: "a", Tenant: "t", Cell: "c", Kind: api.KindMem, Amount: unit, Reason: reason})
		if err != nil {
			t.Fatal(err)
		}
		return api.AuditRecord{Kind: "lease_torndown", Data: data}
	}
	granted := func(lease string) api.AuditRecord { return about("lease_granted", lease) }
	torndown := func(lease string) api.AuditRecord { return about("lease_torndown", lease) }
	for name, c := range map[string]struct {
		chain    []api.AuditRecord
		capacity int64 // in units
		quota    int64
		want     string
	}{
		"kept":             {chain: []api.AuditRecord{granted("a"), torndown("a"), granted("b")}, capacity: 1, quota: 1},
		"capacity":         {chain: []api.AuditRecord{granted("a"), granted("b")}, capacity: 1, quota: 2, want: "L1"},
		"quota":            {chain: []api.AuditRecord{granted("a"), granted("b")}, capacity: 2, quota: 1, want: "L2"},
		"granted twice":    {chain: []api.AuditRecord{granted("a"), torndown("a"), granted("a"), granted("b")}, capacity: 2, quota: 2, want: "L9"},
		"not in the chain": {chain: []api.AuditRecord{granted("b")}, capacity: 2, quota: 2, want: "the grant of a is in the chain 0 times"},
		"no room":          {chain: []api.AuditRecord{granted("a"), ended("bind_failed: " + overbooked(t)), granted("b")}, capacity: 2, quota: 2, want: "L4"},
		"disk full":        {chain: []api.AuditRecord{granted("a"), ended("bind_failed: write ledger: no space left on device"), granted("b")}, capacity: 2, quota: 2},
		"fenced":           {chain: []api.AuditRecord{granted("a"), about("lease_fenced", "a"), granted("b")}, capacity: 2, quota: 2, want: "fenced"},
	} {
		t.Run(name, func(t *testing.T) {
			told := Told{Grants: map[string][]api.LeaseID{"ka": {"a"}, "kb": {"b"}}, Quotas: map[api.TenantID]int64{"t": c.quota}}
			l := newLedger(&checker{told: told})
			l.capacity["c"] = api.Resources{Mem: c.capacity * unit}
			for i, r := range c.chain {
				r.Sequence = uint64(i + 1)
				f, err := FactOf(r)
				if err != nil {
					t.Fatal(err)
				}
				l.take(r, f)
			}
			l.once()
			all := strings.Join(l.Breaches, "\n")
			if (c.want == "") != (all == "") || !strings.Contains(all, c.want) {
				t.Errorf("breaches %q, want %q", all, c.want)
			}
		})
	}
}

// overbooked is what a cell says of a lease for which it has no room.
func overbooked(t *testing.T) string {
	t.Helper()
	h, err := binding.Open(binding.Options{Dir: filepath.Join(t.TempDir(), "block"), Capacity: api.Resources{Mem: 1 << 20}, Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	_, err = h.Bind(api.Lease{ID: "l-aaaaaaaaaaaaaaaa", Tenant: "t", Kind: api.KindMem, Use: api.UseRegion, Amount: 2 << 20})
	if err == nil {
		t.Fatal("a lease larger than its cell was bound")
	}
	return err.Error()
}
