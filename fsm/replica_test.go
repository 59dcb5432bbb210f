package fsm

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

// pair is a replica under test and a second one that follows it through the log, and at any
// moment dies and comes back from a snapshot of its own.
type pair struct {
	*rig
	twin *rig
	n    int // makes ids
}

// newPair makes two replicas with providers, tenants and ready cells.
func newPair(t *rapid.T) *pair {
	t.Helper()
	p := &pair{rig: newRig(t), twin: newRig(t)}
	p.commit(t, InitCluster{ClusterID: "g", Providers: []api.Provider{{ID: "aws", Enabled: true}, {ID: "gcp", Enabled: true}}})
	for _, tenant := range someTenants {
		p.commit(t, CreateTenant{Tenant: tenant, Quota: api.NoQuota()})
	}
	for _, c := range someCells {
		p.commit(t, register(providerOf(c), c, "agent-1"))
		p.commit(t, ReportCell{Cell: c, Epoch: 1, Inventory: &api.InventoryReport{Capacity: capacity}})
		p.commit(t, ChangeHealth{Changes: []HealthChange{{Cell: c, Epoch: 1, Healthy: yes, Outbound: yes}}})
	}
	return p
}

func (p *pair) commit(t *rapid.T, cs ...Command) {
	t.Helper()
	res := p.do(cs...)
	own := *p.log[len(p.log)-1]
	own.Data = bytes.Clone(own.Data)
	twin := p.twin.apply(&own)
	if diff := cmp.Diff(res, twin); diff != "" {
		t.Fatalf("the results differ (-first +second):\n%s", diff)
	}
	a, b := p.m.View(), p.twin.m.View()
	if a.Fingerprint() != b.Fingerprint() || a.AuditHead() != b.AuditHead() {
		t.Fatalf("entry %d: fingerprints %s %s, audit heads %v %v", p.index, a.Fingerprint(), b.Fingerprint(), a.AuditHead(), b.AuditHead())
	}
	for i := range own.Data { // texts are read out of the entry where it is: the state keeps none of them
		own.Data[i] ^= 0xff
	}
}

// restart makes the twin again from the bytes of its snapshot.
func (p *pair) restart(t *rapid.T) {
	snap := snapshotOf(t, p.twin.m.View())
	if !bytes.Equal(snap, snapshotOf(t, p.m.View())) {
		t.Fatalf("entry %d: the snapshots differ", p.index)
	}
	twin := newRig(t)
	if err := twin.m.Restore(io.NopCloser(bytes.NewReader(snap))); err != nil {
		t.Fatalf("restore: %v", err)
	}
	if !bytes.Equal(snap, snapshotOf(t, twin.m.View())) {
		t.Fatalf("entry %d: the restored state writes another snapshot", p.index)
	}
	twin.chain, twin.audit, twin.index = api.NewAuditVerifier(twin.m.View().AuditHead()), p.twin.audit, p.index
	p.twin = twin
	p.twin.check()
	old, err := ReadSnapshot(bytes.NewReader(writeOne(t, p.m.View())))
	if err != nil || dump(t, old) != dump(t, p.m.View()) {
		t.Fatalf("entry %d: version 1 of the snapshot is another state: %v", p.index, err)
	}
}

func (p *pair) id() string {
	p.n++
	return fmt.Sprintf("%08x-%d", uint32(p.n)*2654435761, p.n)
}

// some draws one of a list, "" when it is empty and now and then.
func some[T ~string](t *rapid.T, what string, from []T) T {
	if len(from) == 0 || rapid.IntRange(0, 19).Draw(t, what+"?") == 0 {
		return T("none")
	}
	return rapid.SampledFrom(from).Draw(t, what)
}

func (p *pair) leaseIDs() []api.LeaseID {
	leases, _ := p.m.View().ListLeases(api.LeaseFilter{All: true})
	ids := make([]api.LeaseID, len(leases))
	for i, l := range leases {
		ids[i] = l.ID
	}
	return ids
}

var (
	someCells     = []api.CellID{"aws-1", "aws-2", "gcp-1"}
	someTenants   = []api.TenantID{"acme", "beta"}
	someProviders = []api.ProviderID{"aws", "gcp"}
)

func providerOf(c api.CellID) api.ProviderID {
	if c == "gcp-1" {
		return "gcp"
	}
	return "aws"
}

// command draws one command that may make sense.
func (p *pair) command(t *rapid.T) Command {
	v := p.m.View()
	idem := Idem{}
	if rapid.IntRange(0, 3).Draw(t, "keyed") == 0 {
		idem = Idem{Scope: "acme", Key: rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "key"), Hash: rapid.SampledFrom([]string{"h", "i"}).Draw(t, "hash")}
	}
	cell := some(t, "cell", someCells)
	record, _ := v.Cell(cell)
	epoch := record.Epoch
	if rapid.IntRange(0, 19).Draw(t, "old") == 0 {
		epoch++
	}
	grace := rapid.SampledFrom([]int64{0, 500, 3000, 30_000}).Draw(t, "grace")
	tenant := some(t, "tenant", someTenants)
	switch rapid.IntRange(0, 27).Draw(t, "what") {
	case 24:
		return SetCellMode{
			Idem: idem, Provider: record.Provider, Cell: cell, GraceMs: rapid.SampledFrom([]int64{0, 0, 2000}).Draw(t, "drain"),
			Mode: rapid.SampledFrom([]api.CellMode{api.ModeDraining, api.ModeDrained, api.ModeReturning, api.ModeAccepting, api.ModeAccepting}).Draw(t, "mode"),
		}
	case 25:
		return p.identity(t, cell)
	case 26:
		return MarkCell{Idem: idem, Provider: record.Provider, Cell: cell, Production: rapid.Bool().Draw(t, "production")}
	case 27:
		return RecordConformance{Provider: record.Provider, Cell: cell, CellEpoch: epoch, Passed: true, Kinds: api.LeaseKinds(), Checks: 1}
	case 0, 1, 2, 3, 4:
		return p.grant(t, idem, tenant, cell, epoch)
	case 5, 6, 7, 8, 9:
		return p.report(t, cell, epoch)
	case 10:
		return RenewLease{Idem: idem, Lease: some(t, "lease", p.leaseIDs()), TTLMs: rapid.Int64Range(1000, 90_000).Draw(t, "ttl")}
	case 11:
		return FreeLease{Idem: idem, Lease: some(t, "lease", p.leaseIDs())}
	case 12:
		return RevokeLease{Idem: idem, Lease: some(t, "lease", p.leaseIDs()), GraceMs: grace}
	case 22:
		if rapid.Bool().Draw(t, "raise") {
			return RaiseLevel{Level: NewestLevel}
		}
		return UnfenceLease{Idem: idem, Lease: some(t, "lease", p.leaseIDs())}
	case 13, 14, 15:
		return AdvanceLeases{Leases: append(v.DueLeases(v.Now()+api.Tick(rapid.Int64Range(0, 5e9).Draw(t, "early")), 50), some(t, "lease", p.leaseIDs()))}
	case 16:
		cond := &api.Condition{Met: rapid.IntRange(0, 2).Draw(t, "met") > 0, Code: "code"}
		return ChangeHealth{Changes: []HealthChange{{Cell: cell, Epoch: epoch, Healthy: cond}, {Cell: "aws-1", Epoch: 1, Outbound: yes}}}
	case 17:
		return register(some(t, "provider", someProviders), cell, rapid.SampledFrom([]string{"agent-1", "agent-2"}).Draw(t, "agent"))
	case 18:
		if rapid.IntRange(0, 3).Draw(t, "bar") == 0 {
			return BarCell{Provider: providerOf(cell), Cell: cell}
		}
		return RevokeCell{Idem: idem, Provider: providerOf(cell), Cell: cell, GraceMs: grace, Now: rapid.IntRange(0, 5).Draw(t, "now") == 0}
	case 19:
		return EnableProvider{Idem: idem, Provider: some(t, "provider", someProviders), On: rapid.IntRange(0, 3).Draw(t, "on") > 0}
	case 20:
		switch q := p.quota(t); rapid.IntRange(0, 3).Draw(t, "tenancy") {
		case 0:
			return DeleteTenant{Tenant: tenant}
		case 1:
			return CreateTenant{Idem: idem, Tenant: tenant, Quota: q}
		default:
			return SetQuota{Idem: idem, Tenant: tenant, Quota: q}
		}
	case 21:
		if rapid.Bool().Draw(t, "refer") {
			return ReferBlob{Tenant: tenant, Digest: module, Size: 1}
		}
		return UseToken{JTI: rapid.SampledFrom([]string{"j1", "j2"}).Draw(t, "jti"), Purpose: PurposeBootstrap, Uses: 2, Provider: providerOf(cell), Cell: cell, SPKI: p.id()}
	}
	if rapid.IntRange(0, 4).Draw(t, "recovered") == 0 {
		return Recovered{ID: rapid.SampledFrom([]string{"rec-1", "rec-2"}).Draw(t, "recovery"), Node: "s1"}
	}
	if runs, _ := v.ListRuns(api.RunFilter{}); len(runs) > 0 && rapid.Bool().Draw(t, "endrun") {
		return EndRun{Idem: idem, Run: rapid.SampledFrom(runs).Draw(t, "run").ID, State: rapid.SampledFrom([]api.RunState{api.RunRevoked, api.RunLost, api.RunExpired}).Draw(t, "end")}
	}
	return Tick{}
}

func (p *pair) quota(t *rapid.T) api.Quota {
	q := api.NoQuota()
	q.CPU = rapid.SampledFrom([]int64{-1, 0, 1000, 4000}).Draw(t, "cpu quota")
	q.Leases = rapid.SampledFrom([]int64{-1, 1, 6}).Draw(t, "lease quota")
	return q
}

func (p *pair) grant(t *rapid.T, idem Idem, tenant api.TenantID, cell api.CellID, epoch uint64) Command {
	c := GrantLeases{
		Idem: idem, Tenant: tenant, Provider: providerOf(cell), Cell: cell, CellEpoch: epoch,
		Priority: api.PriorityStandard, TTLMs: rapid.Int64Range(1000, 60_000).Draw(t, "ttl"),
	}
	for range rapid.IntRange(1, 3).Draw(t, "items") {
		id := api.LeaseID(p.id())
		amount := rapid.Int64Range(1, 2000).Draw(t, "amount")
		c.Items = append(c.Items, rapid.SampledFrom([]GrantItem{cpu(id, amount), mem(id, amount<<20), {ID: id, Kind: api.KindGPU, Amount: 1}}).Draw(t, "item"))
	}
	if p.m.View().Level() >= 2 && rapid.Bool().Draw(t, "held") {
		c.Holder = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"
	}
	if c.ask().GPU > 0 && rapid.Bool().Draw(t, "devices") {
		c.Terms = &api.Terms{GPU: &api.GPUTerms{
			Class:      rapid.SampledFrom([]api.GPUClass{api.GPUShared, api.GPUShared, api.GPUSessionExclusive, api.GPUDeviceExclusive}).Draw(t, "class"),
			ShareMilli: rapid.SampledFrom([]int64{0, 250, 500}).Draw(t, "share"),
			Devices:    rapid.SampledFrom([][]int{{0}, {1}, {0, 1}, {2}}).Draw(t, "ordinals"),
		}}
	}
	if lost := p.m.View().LostRuns(1); len(lost) > 0 {
		c.Run, c.Tenant = &lost[0], lost[0].Tenant
	} else if rapid.Bool().Draw(t, "run") {
		c.Run = &api.Run{ID: api.RunID("r" + p.id()), Module: module, Retries: rapid.IntRange(0, 2).Draw(t, "retries"), Resources: api.Resources{CPU: 1, Mem: 1}}
	}
	return c
}

// report draws what a cell might say of the leases and runs it has.
func (p *pair) report(t *rapid.T, cell api.CellID, epoch uint64) Command {
	c := ReportCell{Cell: cell, Epoch: epoch}
	for _, l := range p.m.View().LeasesChangedOn(cell, 0) {
		switch rapid.IntRange(0, 4).Draw(t, "of "+string(l.ID)) {
		case 0, 1:
			c.Bound = append(c.Bound, api.BoundReport{LeaseID: l.ID, Epoch: l.Epoch, Generation: rapid.Uint64Range(1, l.Generation+1).Draw(t, "generation")})
		case 2:
			c.Ended = append(c.Ended, api.EndedReport{
				LeaseID: l.ID, Epoch: l.Epoch, State: rapid.SampledFrom([]api.LeaseState{api.LeaseTornDown, api.LeaseTornDown, api.LeaseFenced}).Draw(t, "how"),
				Reason: rapid.SampledFrom([]string{"", "expired", "released", "agent_restarted"}).Draw(t, "why"),
			})
		}
	}
	for _, r := range p.m.View().RunsChangedOn(cell, 0) {
		if rapid.Bool().Draw(t, "of "+string(r.ID)) {
			c.Runs = append(c.Runs, api.RunReport{RunID: r.ID, Attempt: r.Attempt, State: rapid.SampledFrom([]api.RunState{
				api.RunRunning, api.RunRunning, api.RunSucceeded, api.RunFailed, api.RunLost,
			}).Draw(t, "state")})
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "inventory") == 0 {
		c.Inventory = &api.InventoryReport{Capacity: capacity}
		if rapid.IntRange(0, 3).Draw(t, "shrunk") == 0 {
			c.Inventory.Capacity.CPU = 1000
		}
	}
	return c
}

// TestReplicas applies random logs: every invariant holds after every entry, a refused
// command changes nothing, terminal leases and finalised runs never change, and a replica
// that comes back from a snapshot is the same, byte for byte.
func TestReplicas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t)
		for range rapid.IntRange(1, 40).Draw(t, "entries") {
			var cs []Command
			for range rapid.IntRange(0, 3).Draw(t, "commands") {
				cs = append(cs, p.command(t))
			}
			p.tick += api.Tick(rapid.SampledFrom([]int64{0, 1e6, 1e9, 5e9, 60e9}).Draw(t, "pass"))
			before := p.m.View()
			p.commit(t, cs...)
			unchanged(t, before, p.m.View())
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				p.restart(t)
			}
		}
		p.restart(t)
		if !slices.EqualFunc(p.audit, p.twin.audit, func(a, b api.AuditRecord) bool { return a.Hash == b.Hash }) {
			t.Fatal("the audit records differ")
		}
	})
}

// unchanged checks what no entry may do: change a terminal lease, a result, or an epoch.
func unchanged(t *rapid.T, before, after *View) {
	before.leases.byEpoch.Scan(func(_ serial, rec leaseRecord) bool {
		l := rec.lease()
		id := l.ID
		now, ok := after.Lease(id)
		switch {
		case !ok && !l.State.Terminal():
			t.Fatalf("lease %s was forgotten as %s", id, l.State)
		case ok && l.Fenced() && !now.Fenced():
			lifted := l
			lifted.Unfenced, lifted.UnfencedAt, lifted.Modified = now.Unfenced, now.UnfencedAt, now.Modified
			if !lifted.Same(now) {
				t.Fatalf("the fence of lease %s is cleared and it changes: %+v, now %+v", id, l, now)
			}
		case ok && l.State.Terminal() && !now.Same(l):
			t.Fatalf("lease %s has ended and changed: %+v, now %+v", id, l, now)
		case ok && (now.Epoch != l.Epoch || now.Amount != l.Amount || now.Generation < l.Generation || now.StoppedBy() < l.StoppedBy()):
			t.Fatalf("lease %s: %+v, now %+v", id, l, now)
		}
		return true
	})
	before.runs.byID.Scan(func(id api.RunID, r api.Run) bool {
		now, ok := after.Run(id)
		if ok && r.State.Terminal() && (now.State != r.State || now.ExitCode != r.ExitCode || now.Failure != r.Failure || r.Finalised && !now.Finalised) {
			t.Fatalf("run %s had its result and changed: %+v, now %+v", id, r, now)
		}
		return true
	})
}

// Go randomises the order of maps: a log applied many times over finds what depends on it.
func TestReplayIsDeterministic(t *testing.T) {
	r := smallState(t)
	r.must(RevokeCell{Provider: "aws", Cell: "aws-1"})
	want := snapshotOf(t, r.m.View())
	for range 100 {
		again := newRig(t)
		again.quick = true
		for _, l := range r.log {
			again.apply(&raft.Log{Index: l.Index, Data: l.Data})
		}
		if !bytes.Equal(want, snapshotOf(t, again.m.View())) {
			t.Fatal("a replay made another state")
		}
	}
}

// identity is a change of a cell's keys.
func (p *pair) identity(t *rapid.T, cell api.CellID) Command {
	key := rapid.SampledFrom([]string{"ab-" + string(cell), "key-1", "key-2"}).Draw(t, "key")
	switch rapid.IntRange(0, 9).Draw(t, "identity") {
	case 0:
		return BarCell{Provider: "aws", Cell: "aws-lost", Again: true, Keys: []string{"key-lost"}}
	case 1, 2, 3:
		c := UseToken{JTI: "t-" + key, Purpose: PurposeBootstrap, Uses: 2, Expires: startWall/1000 + 60, Provider: "aws", Cell: cell, SPKI: key}
		if n := rapid.IntRange(0, 3).Draw(t, "instance"); n > 0 {
			c.Evidence = api.Evidence{Kind: api.EvidenceAWS, Account: "1", Instance: fmt.Sprint("i-", n)}
		}
		return c
	case 4, 5, 6:
		c := register("aws", cell, "agent-1")
		c.Identity.SPKI = key
		return c
	}
	return RenewIdentity{Provider: "aws", Cell: cell, From: "ab-" + string(cell), To: api.Identity{SPKI: key, NotAfter: startWall}}
}
