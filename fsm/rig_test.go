package fsm

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// testingT is what a rig needs of testing.T and rapid.T.
type testingT interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// rig is one replica under test: every entry goes through the bytes of the log, and every
// invariant and the audit chain are checked after it.
type rig struct {
	t     testingT
	m     *Machine
	index uint64
	tick  api.Tick
	wall  int64
	audit []api.AuditRecord
	chain *api.AuditVerifier
	fatal error
	log   []*raft.Log
	quick bool // check only at the end
}

const startWall = int64(1_800_000_000_000)

func newRig(t testingT) *rig {
	r := &rig{t: t, wall: startWall, chain: api.NewAuditVerifier(api.AuditHead{})}
	r.m = New(r.options())
	return r
}

func (r *rig) options() Options {
	return Options{
		Log:   hclog.NewNullLogger(),
		Fatal: func(err error) { r.fatal = err },
		Audit: func(recs []api.AuditRecord) error {
			for _, rec := range recs {
				if err := r.chain.Next(rec); err != nil {
					return err
				}
				r.audit = append(r.audit, rec.Clone())
			}
			return nil
		},
	}
}

// pass lets cluster and wall time go on, by as many entries as that needs.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	for d > 0 {
		step := min(d, time.Duration(MaxStep))
		d -= step
		r.tick += api.Tick(step)
		r.wall += step.Milliseconds()
		r.do(Tick{})
	}
}

// do applies one entry.
func (r *rig) do(cs ...Command) []Result {
	r.t.Helper()
	b, err := EncodeEntry(Entry{Tick: r.tick, Wall: r.wall, Commands: cs})
	if err != nil {
		r.t.Fatalf("encode entry: %v", err)
	}
	r.index++
	return r.apply(&raft.Log{Index: r.index, Term: 1, Type: raft.LogCommand, Data: b})
}

func (r *rig) apply(l *raft.Log) []Result {
	r.t.Helper()
	r.log = append(r.log, l)
	out := r.m.Apply(l)
	res, ok := out.([]Result)
	if !ok {
		r.t.Fatalf("apply entry %d: %v", l.Index, out)
	}
	if !r.quick {
		r.check()
	}
	return res
}

func (r *rig) check() {
	r.t.Helper()
	for _, err := range Check(r.m.View()) {
		r.t.Errorf("entry %d: %v", r.index, err)
	}
	if got, want := r.m.View().AuditHead(), r.chain.Head(); got != want {
		r.t.Errorf("entry %d: audit head is %+v, the records end at %+v", r.index, got, want)
	}
}

// one applies one command and returns what became of it.
func (r *rig) one(c Command) Result {
	r.t.Helper()
	return r.do(c)[0]
}

// must applies one command that is not refused.
func (r *rig) must(c Command) Result {
	r.t.Helper()
	res := r.one(c)
	if res.Problem != nil {
		r.t.Fatalf("%T refused: %v", c, res.Problem)
	}
	return res
}

// refused applies one command that is refused with kind, and changes nothing.
func (r *rig) refused(kind api.Kind, c Command) {
	r.t.Helper()
	_ = r.refusal(kind, c)
}

// refusal is refused, with the refusal.
func (r *rig) refusal(kind api.Kind, c Command) *api.Error {
	r.t.Helper()
	before := r.m.View()
	audits := len(r.audit)
	res := r.one(c)
	if got := kindOf(res.Problem); got != kind {
		r.t.Fatalf("%T: got kind %q (%v), want %q", c, got, res.Problem, kind)
	}
	if after := r.m.View(); after.Counts() != before.Counts() || len(r.audit) != audits {
		r.t.Errorf("%T was refused and changed the state", c)
	}
	if res.Problem == nil || res.Problem.Detail == "" {
		r.t.Errorf("%T: a refusal without words: %+v", c, res.Problem)
	}
	return res.Problem
}

func kindOf(p *api.Error) api.Kind {
	if p == nil {
		return ""
	}
	return p.Kind
}

func (r *rig) lease(id api.LeaseID) api.Lease {
	r.t.Helper()
	l, ok := r.m.View().Lease(id)
	if !ok {
		r.t.Fatalf("lease %s does not exist", id)
	}
	return l
}

// run1 returns the run r1.
func (r *rig) run1() api.Run {
	r.t.Helper()
	run, ok := r.m.View().Run("r1")
	if !ok {
		r.t.Fatalf("run r1 does not exist")
	}
	return run
}

func (r *rig) wantState(id api.LeaseID, want api.LeaseState, reason string) {
	r.t.Helper()
	if l := r.lease(id); l.State != want || l.Reason != reason {
		r.t.Errorf("lease %s is %s (%s), want %s (%s)", id, l.State, l.Reason, want, reason)
	}
}

func (r *rig) wantRun(want api.RunState, finalised bool) {
	r.t.Helper()
	if run := r.run1(); run.State != want || run.Finalised != finalised {
		r.t.Errorf("run r1 is %s, finalised %v, want %s, %v", run.State, run.Finalised, want, finalised)
	}
}

// audited returns the kinds of the audit records behind the first n.
func (r *rig) audited(n int) []string {
	kinds := []string{}
	for _, rec := range r.audit[n:] {
		kinds = append(kinds, rec.Kind)
	}
	return kinds
}

var (
	yes      = &api.Condition{Met: true}
	capacity = api.Resources{CPU: 4000, Mem: 8 << 30, Block: 1 << 30, Net: 1e9, GPU: 2}
)

// cluster makes a cluster with providers aws (enabled) and gcp (disabled), tenant acme, and a
// ready cell aws-1.
func (r *rig) cluster() *rig {
	r.t.Helper()
	r.must(InitCluster{ClusterID: "g-test", Providers: []api.Provider{{ID: "aws", Enabled: true}, {ID: "gcp"}}})
	r.must(CreateTenant{Actor: "operator/root", Tenant: "acme", Quota: api.NoQuota()})
	r.ready("aws", "aws-1")
	return r
}

// ready registers a cell and makes it ready.
func (r *rig) ready(p api.ProviderID, c api.CellID) {
	r.t.Helper()
	epoch := r.must(register(p, c, "agent-1")).CellEpoch
	r.must(ReportCell{Cell: c, Epoch: epoch, Inventory: &api.InventoryReport{Capacity: capacity, Inventory: api.Inventory{TotalCPU: 4, Zone: "z1"}}})
	r.must(ChangeHealth{Changes: []HealthChange{{Cell: c, Epoch: epoch, Healthy: yes, Outbound: yes}}})
	cell, _ := r.m.View().Cell(c)
	if ready, reasons := r.m.View().Readiness(cell); !ready.Ready() && p == "aws" {
		r.t.Fatalf("cell %s is not ready: %v", c, reasons)
	}
}

func register(p api.ProviderID, c api.CellID, agent string) RegisterCell {
	return RegisterCell{
		Actor: "cell/" + string(p) + "/" + string(c), Provider: p, Cell: c, Agent: agent, BrokerKey: "bb" + agent,
		Identity: api.Identity{SPKI: "ab-" + string(c), Serial: "01", NotAfter: 1_900_000_000}, DataURL: "https://10.0.0.1:7500", Version: "v0.1.0",
	}
}

// grant asks for one lease of each item on aws-1, for a minute.
func grant(items ...GrantItem) GrantLeases {
	return GrantLeases{
		Actor: "tenant/acme", Tenant: "acme", Provider: "aws", Cell: "aws-1", CellEpoch: 1, Priority: api.PriorityStandard,
		TTLMs: 60_000, Stamp: api.Stamp{BootID: "boot", BootTime: 1}, Items: items,
	}
}

func cpu(id api.LeaseID, n int64) GrantItem { return GrantItem{ID: id, Kind: api.KindCPU, Amount: n} }

func mem(id api.LeaseID, n int64) GrantItem {
	return GrantItem{ID: id, Kind: api.KindMem, Use: api.UseLinear, Amount: n}
}

const module = api.Digest("sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")

// grantRun asks for a run with a cpu and a mem lease named after it.
func grantRun(id api.RunID, retries int) GrantLeases {
	c := grant(cpu(api.LeaseID(id)+"-cpu", 500), mem(api.LeaseID(id)+"-mem", 32<<20))
	c.Run = &api.Run{ID: id, Module: module, Retries: retries, Resources: api.Resources{CPU: 500, Mem: 32 << 20}}
	return c
}

func (r *rig) bound(ids ...api.LeaseID) {
	r.t.Helper()
	rep := ReportCell{Cell: "aws-1", Epoch: r.cellEpoch("aws-1")}
	for _, id := range ids {
		l := r.lease(id)
		rep.Bound = append(rep.Bound, api.BoundReport{LeaseID: id, Generation: l.Generation, Epoch: l.Epoch, Coordinate: "https://10.0.0.1:7500"})
	}
	if res := r.must(rep); len(res.Refused) > 0 {
		r.t.Fatalf("bound: %+v", res.Refused)
	}
}

func (r *rig) ended(state api.LeaseState, reason string, ids ...api.LeaseID) Result {
	r.t.Helper()
	rep := ReportCell{Cell: "aws-1", Epoch: r.cellEpoch("aws-1")}
	for _, id := range ids {
		rep.Ended = append(rep.Ended, api.EndedReport{LeaseID: id, Epoch: r.lease(id).Epoch, State: state, Reason: reason})
	}
	return r.must(rep)
}

func (r *rig) cellEpoch(c api.CellID) uint64 {
	cell, _ := r.m.View().Cell(c)
	return cell.Epoch
}

// due lets the leader's timers propose what is due.
func (r *rig) due() Result {
	r.t.Helper()
	return r.must(AdvanceLeases{Leases: r.m.View().DueLeases(r.m.View().Now(), 100)})
}

func TestRig(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grant(cpu("l1", 1000)))
	r.bound("l1")
	if got := fmt.Sprint(r.m.View().Used("aws-1")); got != fmt.Sprint(api.Resources{CPU: 1000}) {
		t.Errorf("used %s", got)
	}
	r.ended(api.LeaseTornDown, "released", "l1")
	r.wantState("l1", api.LeaseTornDown, ReasonReleased)
}
