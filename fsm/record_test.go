package fsm

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

// A record with every field set survives its compact form, so that a field that is added to
// one of the structs must be added to it too.
func TestRecordsAreWhole(t *testing.T) {
	n := 0
	var l api.Lease
	fill(reflect.ValueOf(&l).Elem(), &n)
	l.State, l.Kind, l.Use, l.Priority = api.LeaseFenced, api.KindMem, api.UseRegion, api.PriorityScavenger
	if got, ok := leaseRecord(appendLease(nil, &l)).read(); !ok || cmp.Diff(l, got) != "" {
		t.Errorf("lease (-want +got):\n%s", cmp.Diff(l, got))
	}
	rec := leaseRecord(appendLease(nil, &l))
	if rec.id() != l.ID || rec.occupies() {
		t.Errorf("lease %s, occupies %v", rec.id(), rec.occupies())
	}
	// What no fence was cleared of has the layout that it always had.
	l.Unfenced, l.UnfencedAt = 0, time.Time{}
	if got, ok := leaseRecord(appendLease(nil, &l)).read(); !ok || cmp.Diff(l, got) != "" || l.Holder == "" {
		t.Errorf("held lease (-want +got):\n%s", cmp.Diff(l, got))
	}
	l.Holder = ""
	if got, ok := leaseRecord(appendLease(nil, &l)).read(); !ok || cmp.Diff(l, got) != "" || l.Terms == nil {
		t.Errorf("lease with terms (-want +got):\n%s", cmp.Diff(l, got))
	}
	l.Terms = nil
	rec = leaseRecord(appendLease(nil, &l))
	if got, ok := rec.read(); !ok || cmp.Diff(l, got) != "" || rec[0] != layoutOne || !rec.occupies() {
		t.Errorf("lease of layout %d, occupies %v (-want +got):\n%s", rec[0], rec.occupies(), cmp.Diff(l, got))
	}
	var r api.Run
	fill(reflect.ValueOf(&r).Elem(), &n)
	if got, ok := readRun(string(appendRun(nil, &r))); !ok || cmp.Diff(r, got) != "" {
		t.Errorf("run (-want +got):\n%s", cmp.Diff(r, got))
	}
	used := r.Net
	for _, one := range []func(){func() { r.Net = nil }, func() { r.Net, r.Terms = used, nil }} {
		one()
		if got, ok := readRun(string(appendRun(nil, &r))); !ok || cmp.Diff(r, got) != "" {
			t.Errorf("run with terms or network alone (-want +got):\n%s", cmp.Diff(r, got))
		}
	}
	r.Net = nil
	short := appendRun(nil, &r)
	if got, ok := readRun(string(short)); !ok || cmp.Diff(r, got) != "" || short[0] != layoutOne {
		t.Errorf("run without terms (-want +got):\n%s", cmp.Diff(r, got))
	}
	var k IdemRecord
	fill(reflect.ValueOf(&k).Elem(), &n)
	key := keyRecord(appendKey(nil, &k))
	if got, ok := key.read(); !ok || cmp.Diff(k, got) != "" || key.at() != k.At || !key.is(k.Scope, k.Key) || key.is(k.Key, k.Scope) {
		t.Errorf("key (-want +got):\n%s", cmp.Diff(k, got))
	}
	zero := api.Lease{State: api.LeaseActive, Kind: api.KindCPU}
	if got, ok := leaseRecord(appendLease(nil, &zero)).read(); !ok || got != zero {
		t.Errorf("an empty lease is %+v", got)
	}
}

// Every byte of a record is in it for something: cut, longer or changed it is no record, or
// another one.
func TestRecordsAreStrict(t *testing.T) {
	v := smallState(t).m.View()
	lease, _ := v.leases.byEpoch.Get(1)
	_, key, _ := v.keys.byAge.Min()
	run, _ := v.Run("r1")
	for name, c := range map[string]struct {
		rec  string
		read func(string) (again string, ok bool)
	}{
		"lease": {string(lease), func(s string) (string, bool) {
			l, ok := leaseRecord(s).read()
			return string(appendLease(nil, &l)), ok
		}},
		"key": {string(key), func(s string) (string, bool) {
			k, ok := keyRecord(s).read()
			return string(appendKey(nil, &k)), ok
		}},
		"run": {string(appendRun(nil, &run)), func(s string) (string, bool) {
			r, ok := readRun(s)
			return string(appendRun(nil, &r)), ok
		}},
	} {
		whole, ok := c.read(c.rec)
		if !ok || whole != c.rec {
			t.Fatalf("%s: written again it is %x, was %x", name, whole, c.rec)
		}
		for i := range c.rec {
			if _, ok := c.read(c.rec[:i]); ok {
				t.Errorf("%s: cut at %d it is taken", name, i)
			}
			for _, bit := range []byte{1, 0x80} {
				b := []byte(c.rec)
				b[i] ^= bit
				if again, ok := c.read(string(b)); ok && again == whole {
					t.Errorf("%s: byte %d is of no use", name, i)
				}
			}
		}
		if _, ok := c.read(c.rec + "\x00"); ok {
			t.Errorf("%s: longer it is taken", name)
		}
	}
}

// Any lease survives: with any text, number and time in it that a state can have.
func TestAnyLeaseSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tick := func(what string) api.Tick {
			return api.Tick(rapid.OneOf(rapid.Int64Range(0, int64(maxTick)), rapid.Int64Range(0, 1e10)).Draw(t, what))
		}
		when := func(what string) time.Time {
			ms := rapid.OneOf(rapid.Int64Range(-1e9, maxWall), rapid.Just(int64(0))).Draw(t, what)
			if rapid.Bool().Draw(t, what+"?") {
				return time.Time{}
			}
			return time.UnixMilli(ms).UTC()
		}
		count := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 300))
		l := api.Lease{
			ID: api.LeaseID(rapid.String().Draw(t, "id")), RunID: api.RunID(rapid.String().Draw(t, "run")), Tenant: api.TenantID(rapid.String().Draw(t, "tenant")),
			Provider: "aws", CellID: api.CellID(rapid.String().Draw(t, "cell")),
			Kind: rapid.SampledFrom(api.LeaseKinds()).Draw(t, "kind"), State: rapid.SampledFrom(api.LeaseStates()).Draw(t, "state"),
			Use:      rapid.SampledFrom([]api.Use{"", api.UseLinear, api.UseRegion}).Draw(t, "use"),
			Priority: rapid.SampledFrom([]api.Priority{"", api.PriorityGuaranteed, api.PriorityStandard, api.PriorityScavenger}).Draw(t, "priority"),
			Amount:   rapid.Int64().Draw(t, "amount"), Generation: count.Draw(t, "generation"), Epoch: count.Draw(t, "epoch"), TTLMs: rapid.Int64().Draw(t, "ttl"),
			GrantedAt: when("granted"), ExpiresAt: when("expires"), BoundAt: when("bound"), EndedAt: when("ended"),
			BoundGeneration: count.Draw(t, "bound generation"), Coordinate: rapid.String().Draw(t, "coordinate"), Reason: rapid.String().Draw(t, "reason"),
			Granted: tick("granted"), Expires: tick("expires"), Ended: tick("ended"), ForceAt: tick("force"),
			Stamp: api.Stamp{BootID: rapid.String().Draw(t, "boot"), BootTime: rapid.Int64().Draw(t, "boot time")}, Modified: count.Draw(t, "modified"),
		}
		got, ok := leaseRecord(appendLease(nil, &l)).read()
		if !ok || got != l {
			t.Fatalf("it comes back as %+v, was %+v", got, l)
		}
	})
}

// The facts of leases are written by hand, byte for byte as encoding/json writes them.
func TestFactsAreJSON(t *testing.T) {
	s := newState(codec{}) // it knows the ticks of the fact before
	rapid.Check(t, func(t *rapid.T) {
		text := func(what string) string {
			return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "acme", "<b>&\"\\", "\u2028\u2029", "\xff\xfe", "\x00\x1f\x7f", "tab\tline\n"})).Draw(t, what)
		}
		f := leaseFact{
			Lease: api.LeaseID(text("lease")), Run: api.RunID(text("run")), Tenant: api.TenantID(text("tenant")), Provider: api.ProviderID(text("provider")),
			Cell: api.CellID(text("cell")), Kind: api.LeaseKind(text("kind")), Amount: rapid.Int64().Draw(t, "amount"), State: api.LeaseState(text("state")),
			Generation: rapid.Uint64().Draw(t, "generation"), Epoch: rapid.Uint64().Draw(t, "epoch"), Priority: api.Priority(text("priority")),
			TTLMs: rapid.Int64().Draw(t, "ttl"), Reason: text("reason"), Comment: text("comment"), GraceMs: rapid.Int64Range(-1, 1).Draw(t, "grace"),
			Granted: api.Tick(rapid.Int64().Draw(t, "granted")), At: api.Tick(rapid.Int64().Draw(t, "at")),
		}
		sameJSON(t, s, &f)
		f.At++
		sameJSON(t, s, &f)
		sameJSON(t, s, &tenantFact{Tenant: f.Tenant, Quota: &api.Quota{CPU: f.Amount, GPU: -1, Leases: f.TTLMs}})
	})
	n := 0
	var lease leaseFact
	var tenant tenantFact
	fill(reflect.ValueOf(&lease).Elem(), &n)
	fill(reflect.ValueOf(&tenant).Elem(), &n)
	sameJSON(t, s, &lease)
	sameJSON(t, s, &tenant)
	sameJSON(t, s, &leaseFact{})
	sameJSON(t, s, &tenantFact{})
}

func sameJSON(t testingT, s *State, f any) {
	t.Helper()
	want, err := json.Marshal(f)
	if err != nil {
		t.Fatalf("%v", err)
	}
	w := s.beginFact("kind", "", &subject{})
	switch f := f.(type) {
	case *leaseFact:
		f.appendTo(&w, &s.ticks)
	case *tenantFact:
		f.appendTo(&w)
	}
	if got := s.endFact("kind", &w); s.fault != nil || string(got) != string(want) {
		t.Fatalf("%s (%v), want %s", got, s.fault, want)
	}
}

// Names that come again are made once, however many came between.
func TestNamesAreShared(t *testing.T) {
	n := newNames()
	a, b := n.text("tenant-1"), n.text("tenant-1")
	if a != "tenant-1" || a != b {
		t.Errorf("got %q and %q", a, b)
	}
	long := strings.Repeat("x", maxName+1)
	if n.text(long) != long {
		t.Error("a long name is another")
	}
	for i := range 3 * len(n.held) {
		name := time.Unix(int64(i), 0).UTC().String()
		if got := n.text(name); got != name {
			t.Fatalf("got %q, want %q", got, name)
		}
	}
	n.text("tenant-2")
	if allocs := testing.AllocsPerRun(100, func() { n.text("tenant-2") }); allocs > 0 {
		t.Errorf("%v allocations for a name that is known", allocs)
	}
}
