package fsmcheck

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// film is what a machine told of every entry that it applied.
type film struct {
	t       *testing.T
	m       *fsm.Machine
	index   uint64
	tick    api.Tick
	changes []fsm.Change
}

func newFilm(t *testing.T) *film {
	t.Helper()
	f := &film{t: t}
	f.m = fsm.New(fsm.Options{Log: hclog.NewNullLogger(), Applied: func(c fsm.Change) { f.changes = append(f.changes, keep(c)) }})
	return f
}

// keep copies what a machine uses again.
func keep(c fsm.Change) fsm.Change {
	c.Leases, c.Runs, c.Cells, c.Tenants, c.Keys = slices.Clone(c.Leases), slices.Clone(c.Runs), slices.Clone(c.Cells), slices.Clone(c.Tenants), slices.Clone(c.Keys)
	c.Events, c.Audit = slices.Clone(c.Events), slices.Clone(c.Audit)
	return c
}

func (f *film) apply(data []byte) []fsm.Result {
	f.t.Helper()
	f.index++
	res, ok := f.m.Apply(&raft.Log{Index: f.index, Data: data}).([]fsm.Result)
	if !ok {
		f.t.Fatal("stopped")
	}
	return res
}

func (f *film) do(cs ...fsm.Command) {
	f.t.Helper()
	b, err := fsm.EncodeEntry(fsm.Entry{Tick: f.tick, Wall: 1_800_000_000_000 + int64(f.tick)/1e6, Commands: cs})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range f.apply(b) {
		if r.Problem != nil || len(r.Refused) > 0 {
			f.t.Fatalf("%v %v", r.Problem, r.Refused)
		}
	}
}

// pass lets cluster time go on.
func (f *film) pass(d time.Duration) {
	f.t.Helper()
	for ; d > 0; d -= time.Duration(fsm.MaxStep) {
		f.tick += api.Tick(min(d, time.Duration(fsm.MaxStep)))
		f.do(fsm.Tick{})
	}
}

// check plays changes to a checker that begins with nothing.
func check(changes []fsm.Change) error {
	c := New(fsm.New(fsm.Options{Log: hclog.NewNullLogger()}).View())
	var errs []error
	for _, ch := range changes {
		errs = append(errs, c.Next(ch))
	}
	return errors.Join(errs...)
}

// The log of a release, with leases and runs of every kind in it, breaks no promise.
func TestReleaseLog(t *testing.T) {
	f := newFilm(t)
	b, err := os.ReadFile("../testdata/releases/level1/log.bin")
	if err != nil {
		t.Fatal(err)
	}
	var middle *Checker
	for len(b) > 0 {
		n, at := binary.Uvarint(b)
		f.apply(b[at : at+int(n)])
		b = b[at+int(n):]
		if f.index == 80 {
			middle = New(f.m.View())
		}
	}
	if err := check(f.changes); err != nil {
		t.Error(err)
	}
	// A checker that begins in the middle trusts what is there, and goes on.
	for _, ch := range f.changes[80:] {
		if err := middle.Next(ch); err != nil {
			t.Error(err)
		}
	}
}

// story is a life of everything that the checker follows.
func story(t *testing.T) *film {
	t.Helper()
	f := newFilm(t)
	yes := &api.Condition{Met: true}
	f.do(fsm.InitCluster{ClusterID: "g", Providers: []api.Provider{{ID: "aws", Enabled: true}}})
	quota := api.NoQuota()
	quota.CPU, quota.Leases = 3000, 20
	f.do(fsm.CreateTenant{Tenant: "acme", Quota: quota})
	f.do(fsm.RegisterCell{Actor: "cell/aws/c1", Provider: "aws", Cell: "c1", Agent: "a", BrokerKey: "b"})
	f.do(fsm.ReportCell{Cell: "c1", Epoch: 1, Inventory: &api.InventoryReport{Capacity: api.Resources{CPU: 4000, Mem: 1 << 30}}})
	f.do(fsm.ChangeHealth{Changes: []fsm.HealthChange{{Cell: "c1", Epoch: 1, Healthy: yes, Outbound: yes}}})
	f.do(f.grant("l1", "k1", 1000))
	f.do(bound("l1", 1))
	f.do(fsm.RenewLease{Lease: "l1", TTLMs: 90_000})
	f.do(f.grant("l2", "k2", 1000))
	f.do(bound("l2", 2))
	f.do(fsm.FreeLease{Lease: "l2"})
	f.do(ended("l2", 2, api.LeaseTornDown))
	f.do(f.grant("l3", "", 500))
	f.do(bound("l3", 3), fsm.RevokeLease{Lease: "l3", GraceMs: 1000})
	f.pass(2 * time.Second)
	f.do(fsm.AdvanceLeases{Leases: []api.LeaseID{"l3"}})
	f.do(ended("l3", 3, api.LeaseFenced))
	f.pass(2 * time.Minute)
	f.do(fsm.AdvanceLeases{Leases: []api.LeaseID{"l1"}})
	f.pass(time.Minute)
	f.do(fsm.AdvanceLeases{Leases: []api.LeaseID{"l1"}})
	run := f.grant("r1-cpu", "k3", 100)
	run.Items = append(run.Items, fsm.GrantItem{ID: "r1-mem", Kind: api.KindMem, Use: api.UseLinear, Amount: 1 << 20})
	run.Run = &api.Run{ID: "r1", Module: api.DigestOf([32]byte{1}), Resources: api.Resources{CPU: 100, Mem: 1 << 20}}
	f.do(run)
	done := fsm.ReportCell{Cell: "c1", Epoch: 1, Runs: []api.RunReport{{RunID: "r1", Attempt: 1, State: api.RunSucceeded, FuelUsed: 7}}}
	f.do(bound("r1-cpu", 4), bound("r1-mem", 5))
	f.do(done)
	f.do(ended("r1-cpu", 4, api.LeaseTornDown))
	f.do(ended("r1-mem", 5, api.LeaseTornDown))
	f.do(fsm.SetQuota{Tenant: "acme", Quota: api.NoQuota()})
	f.do(fsm.Recovered{ID: "rec-1", Node: "s1"})
	f.do(f.grant("l9", "", 100))
	f.pass(3 * time.Hour)
	return f
}

func (f *film) grant(id api.LeaseID, key string, cpu int64) fsm.GrantLeases {
	g := fsm.GrantLeases{
		Actor: "tenant/acme", Tenant: "acme", Provider: "aws", Cell: "c1", CellEpoch: 1, Priority: api.PriorityStandard, TTLMs: 60_000,
		Items: []fsm.GrantItem{{ID: id, Kind: api.KindCPU, Amount: cpu}},
	}
	if key != "" {
		g.Idem = fsm.Idem{Scope: "acme", Key: key, Hash: "h"}
	}
	return g
}

func bound(id api.LeaseID, epoch uint64) fsm.ReportCell {
	return fsm.ReportCell{Cell: "c1", Epoch: 1, Bound: []api.BoundReport{{LeaseID: id, Epoch: epoch, Generation: 1}}}
}

func ended(id api.LeaseID, epoch uint64, s api.LeaseState) fsm.ReportCell {
	return fsm.ReportCell{Cell: "c1", Epoch: 1, Ended: []api.EndedReport{{LeaseID: id, Epoch: epoch, State: s}}}
}

// edit is a change of the story that a test makes.
type edit struct {
	changes []fsm.Change
	found   bool
}

// lease lets change edit the first write of a lease that is the right one.
func (e *edit) lease(id api.LeaseID, is func(old, now *api.Lease) bool, change func(ch *fsm.Change, w *fsm.Changed[api.Lease])) {
	for i := range e.changes {
		for j := range e.changes[i].Leases {
			w := &e.changes[i].Leases[j]
			either := w.New
			if either == nil {
				either = w.Old
			}
			if either.ID == id && is(w.Old, w.New) {
				e.found = true
				change(&e.changes[i], w)
				return
			}
		}
	}
}

// now lets change edit what a write of a lease to a state says.
func (e *edit) now(id api.LeaseID, s api.LeaseState, change func(l *api.Lease)) {
	e.lease(id, func(_, now *api.Lease) bool { return now != nil && now.State == s }, func(_ *fsm.Change, w *fsm.Changed[api.Lease]) {
		l := *w.New
		change(&l)
		w.New = &l
	})
}

func first(old, _ *api.Lease) bool { return old == nil }
func gone(_, now *api.Lease) bool  { return now == nil }
func renewed(old, now *api.Lease) bool {
	return old != nil && now != nil && now.Generation > old.Generation
}
func torn(_, now *api.Lease) bool { return now != nil && now.State == api.LeaseTornDown }
func entry(c []fsm.Change, kind string) *fsm.Change {
	for i := range c {
		if slices.ContainsFunc(c[i].Audit, func(r api.AuditRecord) bool { return r.Kind == kind }) {
			return &c[i]
		}
	}
	return nil
}

// Every promise that a story of changes can break is found, by its name.
func TestBrokenPromisesAreFound(t *testing.T) {
	f := story(t)
	if err := check(f.changes); err != nil {
		t.Fatalf("the story itself breaks a promise: %v", err)
	}
	tests := []struct {
		name, promise string
		spoil         func(*edit)
	}{
		{"over the capacity", "L1", func(e *edit) { e.now("l1", api.LeaseActive, func(l *api.Lease) { l.Amount = 5000 }) }},
		{"capacity that was not there", "L1", func(e *edit) {
			for i := range e.changes {
				for j, w := range e.changes[i].Cells {
					c := *w.New
					c.Capacity.CPU = min(c.Capacity.CPU, 1500)
					e.changes[i].Cells[j].New, e.found = &c, true
				}
			}
		}},
		{"held grows", "L1", func(e *edit) {
			for i := range e.changes {
				for j, w := range e.changes[i].Cells {
					if w.Old != nil && w.New.Capacity == w.Old.Capacity {
						c := *w.New
						c.Held.CPU = 1
						e.changes[i].Cells[j].New, e.found = &c, true
						return
					}
				}
			}
		}},
		{"a fence is forgotten", "L1", func(e *edit) {
			l := e.kept("l3")
			last := &e.changes[len(e.changes)-1]
			last.Leases, e.found = append(last.Leases, fsm.Changed[api.Lease]{Old: l}), true
		}},
		{"over the quota", "L2", func(e *edit) { e.tenant(func(t *api.Tenant) { t.Quota.CPU = 1500 }) }},
		{"over the quota of leases", "L2", func(e *edit) { e.tenant(func(t *api.Tenant) { t.Quota.Leases = 1 }) }},
		{"a number twice", "L4", func(e *edit) {
			e.lease("l2", first, func(_ *fsm.Change, w *fsm.Changed[api.Lease]) { l := *w.New; l.Epoch = 1; w.New = &l })
		}},
		{"a number that was not given", "L4", func(e *edit) {
			e.lease("l2", first, func(_ *fsm.Change, w *fsm.Changed[api.Lease]) { l := *w.New; l.Epoch = 99; w.New = &l })
		}},
		{"a recovery that gives numbers again", "L4", func(e *edit) { ch := entry(e.changes, "cluster_recovered"); ch.Epoch -= 1 << 31; e.found = true }},
		{"the newest number falls", "L4", func(e *edit) { e.changes[len(e.changes)-1].Epoch--; e.found = true }},
		{"granted twice", "L4", func(e *edit) {
			e.lease("l2", first, func(ch *fsm.Change, w *fsm.Changed[api.Lease]) {
				l := *w.New
				l.Epoch++
				ch.Leases = append(ch.Leases, fsm.Changed[api.Lease]{New: &l})
			})
		}},
		{"the generation falls", "L4", func(e *edit) { e.now("l1", api.LeaseExpired, func(l *api.Lease) { l.Generation = 1 }) }},
		{"the generation jumps", "L4", func(e *edit) {
			e.lease("l1", renewed, func(_ *fsm.Change, w *fsm.Changed[api.Lease]) { l := *w.New; l.Generation = 7; w.New = &l })
		}},
		{"renewed when it had run out", "L4", func(e *edit) {
			e.lease("l1", renewed, func(ch *fsm.Change, _ *fsm.Changed[api.Lease]) { ch.Tick += fsm.MaxStep })
			for i := range e.changes { // an hour later, step by step
				if i > 0 {
					e.changes[i].Tick = max(e.changes[i].Tick, e.changes[i-1].Tick)
				}
			}
			e.lease("l1", renewed, func(_ *fsm.Change, w *fsm.Changed[api.Lease]) { o := *w.Old; o.Expires = 0; w.Old = &o })
		}},
		{"the deadline moves", "L4", func(e *edit) { e.now("l2", api.LeaseForcedTeardown, func(l *api.Lease) { l.Expires += 1e9 }) }},
		{"stops earlier", "L4", func(e *edit) {
			e.lease("l1", renewed, func(_ *fsm.Change, w *fsm.Changed[api.Lease]) {
				l := *w.New
				l.Expires, l.TTLMs = l.Granted+1, 1000
				w.New = &l
			})
		}},
		{"given up too early", "L4", func(e *edit) { e.now("l1", api.LeaseFailedClosed, func(l *api.Lease) { l.TTLMs = 80_000_000_000 }) }},
		{"becomes another's", "L4", func(e *edit) { e.now("l2", api.LeaseForcedTeardown, func(l *api.Lease) { l.Tenant = "beta" }) }},
		{"comes back to life", "L4", func(e *edit) {
			e.lease("l2", torn, func(ch *fsm.Change, w *fsm.Changed[api.Lease]) {
				l := *w.New
				l.State = api.LeaseActive
				ch.Leases = append(ch.Leases, fsm.Changed[api.Lease]{Old: w.New, New: &l})
			})
		}},
		{"an end that the protocol does not have", "L4", func(e *edit) {
			e.now("l2", api.LeaseForcedTeardown, func(l *api.Lease) { l.State = api.LeaseGraceRunning })
		}},
		{"bound in the future", "L4", func(e *edit) { e.now("l2", api.LeaseForcedTeardown, func(l *api.Lease) { l.BoundGeneration = 2 }) }},
		{"forgotten too early", "L4", func(e *edit) {
			e.lease("l2", gone, func(_ *fsm.Change, w *fsm.Changed[api.Lease]) { e.forgetAt("l2", *w.Old) })
		}},
		{"a write that is not told", "L4", func(e *edit) {
			e.lease("l2", torn, func(ch *fsm.Change, _ *fsm.Changed[api.Lease]) { ch.Leases, ch.Audit = nil, nil })
		}},
		{"cluster time jumps", "L4", func(e *edit) { e.changes[9].Tick += api.Tick(time.Hour); e.found = true }},
		{"cluster time goes back", "L4", func(e *edit) { e.changes[len(e.changes)-2].Tick = 0; e.found = true }},
		{"the cluster epoch falls", "L4", func(e *edit) { e.changes[len(e.changes)-1].ClusterEpoch = 0; e.found = true }},
		{"a revoked cell comes back", "L4", func(e *edit) {
			for i := range e.changes {
				for j, w := range e.changes[i].Cells {
					if w.Old != nil {
						c := *w.Old
						c.Revoked = true
						e.changes[i].Cells[j].Old, e.found = &c, true
						return
					}
				}
			}
		}},
		{"another outcome", "L5", func(e *edit) {
			e.key("k1", func(ch *fsm.Change, k fsm.IdemRecord) {
				other := k
				other.Leases = []api.LeaseID{"l7"}
				ch.Keys = append(ch.Keys, fsm.Changed[fsm.IdemRecord]{Old: &k, New: &other})
			})
		}},
		{"a second outcome", "L5", func(e *edit) {
			e.key("k1", func(ch *fsm.Change, k fsm.IdemRecord) {
				ch.Keys = append(ch.Keys, fsm.Changed[fsm.IdemRecord]{New: &k})
			})
		}},
		{"forgotten within the day", "L5", func(e *edit) {
			e.key("k1", func(_ *fsm.Change, k fsm.IdemRecord) {
				last := &e.changes[len(e.changes)-1]
				last.Keys = append(last.Keys, fsm.Changed[fsm.IdemRecord]{Old: &k})
			})
		}},
		{"one lease for two requests", "L5", func(e *edit) {
			e.key("k2", func(ch *fsm.Change, k fsm.IdemRecord) { k.Leases = []api.LeaseID{"l1"}; ch.Keys[0].New = &k })
		}},
		{"another result", "L8", func(e *edit) {
			e.run(func(_, now *api.Run) bool { return now.Finalised }, func(r *api.Run) { r.ExitCode = 1 })
		}},
		{"never finalised", "L8", func(e *edit) {
			e.run(func(_, now *api.Run) bool { return now.Finalised }, func(r *api.Run) { r.Finalised = false })
		}},
		{"finalised too early", "L8", func(e *edit) {
			e.run(func(_, now *api.Run) bool { return now.State.Terminal() && !now.Finalised }, func(r *api.Run) { r.Finalised = true })
		}},
		{"finalised twice", "L8", func(e *edit) {
			for i := range e.changes {
				for _, w := range e.changes[i].Runs {
					if w.New != nil && w.New.Finalised {
						e.changes[i].Runs = append(e.changes[i].Runs, fsm.Changed[api.Run]{Old: w.New, New: w.New})
						e.found = true
						return
					}
				}
			}
		}},
		{"a record is dropped", "L9", func(e *edit) { ch := entry(e.changes, "lease_renewed"); ch.Audit, e.found = nil, true }},
		{"a record is altered", "L9", func(e *edit) {
			ch := entry(e.changes, "lease_renewed")
			ch.Audit[0].Identity, e.found = "operator/eve", true
		}},
		{"records are swapped", "L9", func(e *edit) { ch := entry(e.changes, "run_placed"); slices.Reverse(ch.Audit); e.found = true }},
		{"a record twice", "L9", func(e *edit) {
			ch := entry(e.changes, "lease_fenced")
			ch.Audit, e.found = append(ch.Audit, ch.Audit[0]), true
		}},
		{"a record of no change", "L9", func(e *edit) {
			ch := entry(e.changes, "lease_renewed")
			ch.Leases, e.found = nil, true
		}},
		{"a change without a record", "L9", func(e *edit) {
			e.forge("lease_granted", "lease_bound")
		}},
		{"another head", "L9", func(e *edit) { e.changes[len(e.changes)-1].Head.Sequence++; e.found = true }},
		{"an entry twice", "L10", func(e *edit) { e.changes[7].Index--; e.found = true }},
		{"the level falls", "L10", func(e *edit) { e.changes[len(e.changes)-1].Level = 0; e.found = true }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := &edit{}
			for _, ch := range f.changes {
				e.changes = append(e.changes, keep(ch))
			}
			test.spoil(e)
			if !e.found {
				t.Fatal("the story has nothing to break here")
			}
			err := check(e.changes)
			if err == nil || !strings.Contains(err.Error(), "breaks "+test.promise+":") {
				t.Errorf("found: %v", err)
			}
		})
	}
}

// kept returns the last write of a lease.
func (e *edit) kept(id api.LeaseID) (l *api.Lease) {
	for _, ch := range e.changes {
		for _, w := range ch.Leases {
			if w.New != nil && w.New.ID == id {
				l = w.New
			}
		}
	}
	return l
}

func (e *edit) tenant(change func(*api.Tenant)) {
	for i := range e.changes {
		for j, w := range e.changes[i].Tenants {
			t := *w.New
			change(&t)
			e.changes[i].Tenants[j].New, e.found = &t, true
			return
		}
	}
}

func (e *edit) key(key string, change func(*fsm.Change, fsm.IdemRecord)) {
	for i := range e.changes {
		for _, w := range e.changes[i].Keys {
			if w.New != nil && w.New.Key == key {
				e.found = true
				change(&e.changes[i], *w.New)
				return
			}
		}
	}
}

func (e *edit) run(is func(old, now *api.Run) bool, change func(*api.Run)) {
	for i := range e.changes {
		for j, w := range e.changes[i].Runs {
			if w.New != nil && is(w.Old, w.New) {
				r := *w.New
				change(&r)
				e.changes[i].Runs[j].New, e.found = &r, true
				return
			}
		}
	}
}

// forgetAt lets a lease be forgotten in the entry behind the one in which it ended.
func (e *edit) forgetAt(id api.LeaseID, l api.Lease) {
	for i := range e.changes {
		e.changes[i].Leases = slices.DeleteFunc(e.changes[i].Leases, func(w fsm.Changed[api.Lease]) bool { return w.New == nil && w.Old.ID == id })
	}
	for i := range e.changes {
		if e.changes[i].Index == l.Modified+1 {
			e.changes[i].Leases = append(e.changes[i].Leases, fsm.Changed[api.Lease]{Old: &l})
		}
	}
}

// forge makes the whole chain again with one record of a kind under another one.
func (e *edit) forge(kind, as string) {
	head := api.AuditHead{Hash: api.AuditGenesis}
	for i := range e.changes {
		for j := range e.changes[i].Audit {
			r := &e.changes[i].Audit[j]
			if r.Kind == kind && !e.found {
				r.Kind, e.found = as, true
			}
			r.Sequence, r.PrevHash = head.Sequence+1, head.Hash
			r.Hash = api.AuditHashCompact(*r)
			head = api.AuditHead{Sequence: r.Sequence, Hash: r.Hash}
		}
		if len(e.changes[i].Audit) > 0 || e.changes[i].Head.Sequence > 0 {
			e.changes[i].Head = head
		}
	}
}

// What the checker costs does not grow with the state.
func TestCostIsOfTheChange(t *testing.T) {
	f := story(t)
	c := New(f.m.View())
	allocs := func() float64 {
		at := f.m.View()
		ch := fsm.Change{Index: at.Index(), Tick: at.Now(), Epoch: at.Epoch(), ClusterEpoch: at.ClusterEpoch(), Level: at.Level(), Head: at.AuditHead()}
		return testing.AllocsPerRun(20, func() {
			ch.Index++
			if err := c.Next(ch); err != nil {
				t.Fatal(err)
			}
		})
	}
	few := allocs()
	for i := range 5000 {
		c.leases[api.LeaseID(fmt.Sprint("x", i))] = api.Lease{}
	}
	c.index = f.m.View().Index()
	if many := allocs(); many > few {
		t.Errorf("%v allocations, with more leases %v", few, many)
	}
}
