package fsm

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func TestGrantLeases(t *testing.T) {
	r := newRig(t).cluster()
	before := r.m.View()
	audits := len(r.audit)
	res := r.must(grant(cpu("l1", 1000), mem("l2", 1<<30)))
	if !slices.Equal(res.Leases, []api.LeaseID{"l1", "l2"}) || !res.Changed || res.Index != r.index || res.CellEpoch != 1 {
		t.Errorf("result %+v", res)
	}
	l := r.lease("l2")
	want := api.Lease{
		ID: "l2", Tenant: "acme", Provider: "aws", CellID: "aws-1", Kind: api.KindMem, Use: api.UseLinear, Amount: 1 << 30,
		State: api.LeaseActive, Generation: 1, Epoch: 2, Priority: api.PriorityStandard, TTLMs: 60_000,
		GrantedAt: time.UnixMilli(r.wall).UTC(), ExpiresAt: time.UnixMilli(r.wall + 60_000).UTC(),
		Granted: r.tick, Expires: r.tick + api.Tick(time.Minute), Stamp: api.Stamp{BootID: "boot", BootTime: 1}, Modified: r.index,
	}
	if l != want {
		t.Errorf("got  %+v\nwant %+v", l, want)
	}
	if _, there := before.Lease("l1"); there || before.Used("aws-1") != (api.Resources{}) {
		t.Error("a view taken before shows the grant")
	}
	if got := r.audited(audits); !slices.Equal(got, []string{"lease_granted", "lease_granted"}) {
		t.Errorf("audited %v", got)
	}
}

func TestGrantLeasesRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		kind   api.Kind
		change func(*GrantLeases)
	}{
		"no leases":          {api.InvalidArgument, func(c *GrantLeases) { c.Items = nil }},
		"too many leases":    {api.InvalidArgument, func(c *GrantLeases) { c.Items = make([]GrantItem, MaxItems+1) }},
		"no id":              {api.InvalidArgument, func(c *GrantLeases) { c.Items[0].ID = "" }},
		"id twice":           {api.InvalidArgument, func(c *GrantLeases) { c.Items = append(c.Items, c.Items[0]) }},
		"strange id":         {api.InvalidArgument, func(c *GrantLeases) { c.Items[0].ID = "a b" }},
		"long id":            {api.InvalidArgument, func(c *GrantLeases) { c.Items[0].ID = api.LeaseID(strings.Repeat("a", maxID+1)) }},
		"amount zero":        {api.InvalidArgument, func(c *GrantLeases) { c.Items[0].Amount = 0 }},
		"amount negative":    {api.InvalidArgument, func(c *GrantLeases) { c.Items[0].Amount = -1 }},
		"amount beyond":      {api.InvalidArgument, func(c *GrantLeases) { c.Items[0].Amount = api.MaxAmount + 1 }},
		"unknown kind":       {api.InvalidArgument, func(c *GrantLeases) { c.Items[0].Kind = "disk" }},
		"mem without use":    {api.InvalidArgument, func(c *GrantLeases) { c.Items[0].Kind = api.KindMem }},
		"cpu with use":       {api.InvalidArgument, func(c *GrantLeases) { c.Items[0].Use = api.UseLinear }},
		"half a block":       {api.InvalidArgument, func(c *GrantLeases) { c.Items[0].Kind = api.KindBlock; c.Items[0].Amount = 513 }},
		"ttl too short":      {api.InvalidArgument, func(c *GrantLeases) { c.TTLMs = 999 }},
		"ttl too long":       {api.InvalidArgument, func(c *GrantLeases) { c.TTLMs = 86_400_001 }},
		"unknown priority":   {api.InvalidArgument, func(c *GrantLeases) { c.Priority = "urgent" }},
		"negative stamp":     {api.InvalidArgument, func(c *GrantLeases) { c.Stamp.BootTime = -1 }},
		"long boot id":       {api.TooLarge, func(c *GrantLeases) { c.Stamp.BootID = strings.Repeat("b", 65) }},
		"long actor":         {api.TooLarge, func(c *GrantLeases) { c.Actor = strings.Repeat("b", maxActor+1) }},
		"long key":           {api.TooLarge, func(c *GrantLeases) { c.Idem.Key = strings.Repeat("b", api.MaxKeyLen+1) }},
		"no tenant":          {api.InvalidArgument, func(c *GrantLeases) { c.Tenant = "" }},
		"unknown tenant":     {api.NotFound, func(c *GrantLeases) { c.Tenant = "nobody" }},
		"unknown provider":   {api.NotFound, func(c *GrantLeases) { c.Provider = "mars" }},
		"disabled provider":  {api.RuntimeNotReady, func(c *GrantLeases) { c.Provider, c.Cell = "gcp", "gcp-1" }},
		"unknown cell":       {api.Conflict, func(c *GrantLeases) { c.Cell = "aws-9" }},
		"cell of another":    {api.Conflict, func(c *GrantLeases) { c.Cell = "gcp-1" }},
		"older epoch":        {api.Conflict, func(c *GrantLeases) { c.CellEpoch = 0 }},
		"newer epoch":        {api.Conflict, func(c *GrantLeases) { c.CellEpoch = 2 }},
		"unready cell":       {api.Conflict, func(c *GrantLeases) { c.Cell = "aws-2" }},
		"draining cell":      {api.Conflict, func(c *GrantLeases) { c.Cell = "aws-3" }},
		"lease exists":       {api.Conflict, func(c *GrantLeases) { c.Items[0].ID = "held" }},
		"over capacity":      {api.Conflict, func(c *GrantLeases) { c.Items[0].Amount = 3501 }},
		"over in sum":        {api.Conflict, func(c *GrantLeases) { c.Items = []GrantItem{cpu("a", 2000), cpu("b", 2000)} }},
		"over quota":         {api.QuotaExceeded, func(c *GrantLeases) { c.Tenant = "small" }},
		"over lease quota":   {api.QuotaExceeded, func(c *GrantLeases) { c.Tenant, c.Items = "few", []GrantItem{cpu("a", 1), cpu("b", 1)} }},
		"run without id":     {api.InvalidArgument, func(c *GrantLeases) { c.Run = &api.Run{} }},
		"run without module": {api.InvalidArgument, func(c *GrantLeases) { c.Run = &api.Run{ID: "r", Resources: api.Resources{CPU: 1, Mem: 1}} }},
		"run of another":     {api.InvalidArgument, func(c *GrantLeases) { c.Run = grantRun("r", 0).Run; c.Run.Tenant = "other" }},
		"run that is placed": {api.Conflict, func(c *GrantLeases) { c.Run = &api.Run{ID: "placed"} }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).cluster()
			r.must(register("gcp", "gcp-1", "a"))
			r.must(register("aws", "aws-2", "a"))
			r.ready("aws", "aws-3")
			r.must(RevokeCell{Provider: "aws", Cell: "aws-3", GraceMs: 1000})
			r.must(CreateTenant{Tenant: "small", Quota: api.Quota{CPU: 99, Mem: -1, Block: -1, Net: -1, GPU: -1, Leases: -1}})
			r.must(CreateTenant{Tenant: "few", Quota: api.Quota{CPU: -1, Mem: -1, Block: -1, Net: -1, GPU: -1, Leases: 1}})
			r.must(grantRun("placed", 0))
			r.must(grant(mem("held", 1)))
			cmd := grant(cpu("new", 100))
			c.change(&cmd)
			p := r.refusal(c.kind, cmd)
			if c.kind == api.QuotaExceeded && (p.Shortage == nil || p.Limit == 0 || p.Asked == 0) {
				t.Errorf("quota_exceeded without evidence: %+v", p)
			}
			if _, ok := r.m.View().Lease("a"); ok {
				t.Error("half of a grant was made")
			}
		})
	}
}

// A fenced lease keeps its amount on the cell, and not on the tenant; a torn down one neither.
func TestFencedKeepsCapacity(t *testing.T) {
	r := newRig(t).cluster()
	r.must(SetQuota{Tenant: "acme", Quota: api.Quota{CPU: 4000, Mem: -1, Block: -1, Net: -1, GPU: -1, Leases: -1}})
	r.must(grant(cpu("l1", 3000)))
	r.must(FreeLease{Lease: "l1"})
	r.refused(api.QuotaExceeded, grant(cpu("l2", 3000)))
	r.ended(api.LeaseFenced, "process does not die", "l1")
	r.refused(api.Conflict, grant(cpu("l2", 3000)))
	r.must(grant(cpu("l2", 1000)))
	v := r.m.View()
	if v.Used("aws-1").CPU != 4000 || v.Fenced("aws-1").CPU != 3000 || v.LeaseCount("aws-1") != 1 || v.TenantUsage("acme").Used.CPU != 1000 {
		t.Errorf("used %v fenced %v", v.Used("aws-1"), v.Fenced("aws-1"))
	}
	r.pass(3 * time.Hour)
	r.wantState("l1", api.LeaseFenced, ReasonReleased)
}

func TestGrantIsIdempotent(t *testing.T) {
	r := newRig(t).cluster()
	c := grant(cpu("l1", 1000))
	c.Idem = Idem{Scope: "acme", Key: "k1", Hash: "h1"}
	res := r.must(c)
	again := c
	again.Items = []GrantItem{cpu("l9", 1000)} // a client's repetition gets new ids from the leader
	audits := len(r.audit)
	rep := r.must(again)
	if !rep.Replayed || rep.Changed || rep.Index != res.Index || !slices.Equal(rep.Leases, res.Leases) {
		t.Errorf("replayed %+v, first %+v", rep, res)
	}
	if len(r.audit) != audits || r.m.View().LeaseCount("aws-1") != 1 {
		t.Error("a replay changed the state")
	}
	again.Idem.Hash = "h2"
	r.refused(api.Conflict, again)
	again.Idem.Scope = "other" // another tenant's key is another key
	r.must(again)
	r.refused(api.Conflict, FreeLease{Lease: "l1", Idem: c.Idem})

	if p := r.refusal(api.Conflict, another(c, "h2")); !strings.Contains(p.Detail, `"k1"`) ||
		!strings.Contains(p.Detail, fmt.Sprint("index ", res.Index)) {
		t.Errorf("the conflict names neither the key nor the index %d: %+v", res.Index, p)
	}

	r.pass(24*time.Hour - time.Second)
	if _, ok := r.m.View().IdemKey("acme", "k1"); !ok {
		t.Error("the key was forgotten within the day")
	}
	r.pass(2 * time.Second)
	if _, ok := r.m.View().IdemKey("acme", "k1"); ok {
		t.Error("the key was kept after a day")
	}
}

// another is c under the hash of another request.
func another(c GrantLeases, hash string) GrantLeases {
	c.Idem.Hash = hash
	return c
}

// A key is state: a replica that was restored from a snapshot answers a repetition as the
// one that took the request.
func TestKeysSurviveARestore(t *testing.T) {
	r := newRig(t).cluster()
	c := grant(cpu("l1", 1000))
	c.Idem = Idem{Scope: "acme", Key: "k1", Hash: "h1"}
	first := r.must(c)
	other := newRig(t)
	if err := other.m.Restore(io.NopCloser(bytes.NewReader(snapshotOf(t, r.m.View())))); err != nil {
		t.Fatal(err)
	}
	other.index, other.chain = r.index, api.NewAuditVerifier(other.m.View().AuditHead())
	c.Items = []GrantItem{cpu("l2", 1000)}
	if res := other.must(c); !res.Replayed || res.Index != first.Index || !slices.Equal(res.Leases, first.Leases) {
		t.Errorf("got %+v, first %+v", res, first)
	}
	other.refused(api.Conflict, another(c, "h2"))
}

// However many keys come in a day, as many are kept as the limit says: the newest.
func TestKeysAreBounded(t *testing.T) {
	r := newRig(t).cluster()
	r.m.state.keyLimit = 10
	for i := range 25 { // no grants: those clear as they add
		r.tick++
		q := api.NoQuota()
		q.Leases = int64(100 + i)
		r.must(SetQuota{Actor: "operator/root", Tenant: "acme", Quota: q, Idem: Idem{Scope: "acme", Key: fmt.Sprint("k", i), Hash: "h"}})
		if n := r.m.View().Counts().Keys; n > 10 {
			t.Fatalf("%d keys after %d writes", n, i+1)
		}
	}
	for i, want := range map[int]bool{14: false, 15: true, 24: true} {
		if _, ok := r.m.View().IdemKey("acme", fmt.Sprint("k", i)); ok != want {
			t.Errorf("key %d is there: %v", i, ok)
		}
	}
	if got := newState(codec{}).keyLimit; got != MaxKeys {
		t.Errorf("the limit is %d", got)
	}
}

// Within one entry too: a client that asks two schedulers at once.
func TestGrantIsIdempotentWithinAnEntry(t *testing.T) {
	r := newRig(t).cluster()
	a, b := grant(cpu("l1", 1000)), grant(cpu("l2", 1000))
	a.Idem = Idem{Scope: "acme", Key: "k1", Hash: "h1"}
	b.Idem = a.Idem
	res := r.do(a, b)
	if res[0].Replayed || !res[1].Replayed || !slices.Equal(res[1].Leases, []api.LeaseID{"l1"}) {
		t.Errorf("results %+v", res)
	}
}

// A refusal is not stored: it can be retried with its key.
func TestRefusalIsNotStored(t *testing.T) {
	r := newRig(t).cluster()
	c := grant(cpu("l1", 4001))
	c.Idem = Idem{Scope: "acme", Key: "k1", Hash: "h1"}
	r.refused(api.Conflict, c)
	r.must(ReportCell{Cell: "aws-1", Epoch: 1, Inventory: &api.InventoryReport{Capacity: api.Resources{CPU: 5000}}})
	if res := r.must(c); res.Replayed || len(res.Leases) != 1 {
		t.Errorf("result %+v", res)
	}
}

func TestRunIsPlacedAgain(t *testing.T) {
	r := newRig(t).cluster()
	r.ready("aws", "aws-2")
	r.must(grantRun("r1", 1))
	run := r.run1()
	if run.State != api.RunPlaced || run.Attempt != 1 || run.CellID != "aws-1" || run.Profile != api.ProfileWASI || len(run.LeaseIDs) != 2 {
		t.Errorf("run %+v", run)
	}
	r.bound("r1-cpu", "r1-mem")
	r.ended(api.LeaseTornDown, "agent_restarted", "r1-cpu")
	r.wantRun(api.RunPlaced, false)
	r.wantState("r1-mem", api.LeaseForcedTeardown, "agent_restarted")
	if lost := r.m.View().LostRuns(10); len(lost) != 0 {
		t.Errorf("lost before the cell has stopped: %v", lost)
	}
	r.ended(api.LeaseTornDown, "agent_restarted", "r1-mem")
	r.wantRun(api.RunAdmitted, false)
	if lost := r.m.View().LostRuns(10); len(lost) != 1 || lost[0].CellID != "" || lost[0].Attempt != 1 {
		t.Errorf("lost %+v", lost)
	}
	r.refused(api.TenantHasLeases, DeleteTenant{Tenant: "acme"})

	c := grant(cpu("r1-cpu-2", 500), mem("r1-mem-2", 32<<20))
	c.Run, c.Cell = &api.Run{ID: "r1"}, "aws-2"
	other := c
	other.Provider, other.Cell = "gcp", "gcp-1"
	r.must(EnableProvider{Provider: "gcp", On: true})
	r.ready("gcp", "gcp-1")
	r.refused(api.Conflict, other)
	r.must(c)
	run = r.run1()
	if run.State != api.RunPlaced || run.Attempt != 2 || run.CellID != "aws-2" || run.Module != module {
		t.Errorf("run %+v", run)
	}
	// The last attempt that was allowed: now it is lost.
	rep := ReportCell{Cell: "aws-2", Epoch: 1, Runs: []api.RunReport{{RunID: "r1", Attempt: 1, State: api.RunSucceeded}}}
	if res := r.must(rep); len(res.Refused) != 1 || res.Refused[0].RunID != "r1" {
		t.Errorf("the first attempt's result was taken: %+v", res)
	}
	rep.Runs[0] = api.RunReport{RunID: "r1", Attempt: 2, State: api.RunLost, Failure: api.Failure{Kind: api.WorkerLost, Message: "gone"}}
	rep.Ended = []api.EndedReport{
		{LeaseID: "r1-cpu-2", Epoch: r.lease("r1-cpu-2").Epoch, State: api.LeaseTornDown},
		{LeaseID: "r1-mem-2", Epoch: r.lease("r1-mem-2").Epoch, State: api.LeaseTornDown},
	}
	r.must(rep)
	r.wantRun(api.RunLost, true)
}
