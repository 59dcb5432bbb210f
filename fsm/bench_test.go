package fsm

import (
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// benchGroup is how many commands a busy leader puts into one entry.
const benchGroup = 64

// benchCells is over how many cells they spread.
const benchCells = 50

// benchMachine returns a machine with big cells, and a function that applies one entry.
func benchMachine(b *testing.B) func(cs ...Command) []Result {
	b.Helper()
	m := New(Options{Log: hclog.NewNullLogger()})
	index, tick := uint64(0), api.Tick(0)
	apply := func(cs ...Command) []Result {
		data, err := EncodeEntry(Entry{Tick: tick, Wall: startWall, Commands: cs})
		if err != nil {
			b.Fatal(err)
		}
		index++
		tick += 1e6
		res, ok := m.Apply(&raft.Log{Index: index, Data: data}).([]Result)
		if !ok {
			b.Fatal("stopped")
		}
		return res
	}
	apply(InitCluster{ClusterID: "g", Providers: []api.Provider{{ID: "aws", Enabled: true}}},
		CreateTenant{Tenant: "acme", Quota: api.NoQuota()})
	big := api.Resources{CPU: api.MaxAmount, Mem: api.MaxAmount}
	for i := range benchCells {
		c := api.CellID(fmt.Sprintf("aws-%d", i))
		apply(register("aws", c, "agent-1"),
			ReportCell{Cell: c, Epoch: 1, Inventory: &api.InventoryReport{Capacity: big}},
			ChangeHealth{Changes: []HealthChange{{Cell: c, Epoch: 1, Healthy: yes, Outbound: yes}}})
	}
	return apply
}

func benchGrant(n int) GrantLeases {
	h := uint32(n) * 2654435761 // ids in no order, as random ones are
	c := grantRun(api.RunID(fmt.Sprintf("r-%08x-%d", h, n)), 0)
	c.Cell = api.CellID(fmt.Sprintf("aws-%d", n%benchCells))
	c.Idem = Idem{Scope: "acme", Key: fmt.Sprintf("k-%08x-%d", h, n), Hash: "0011223344556677"}
	return c
}

// BenchmarkApplyGrant measures one grant of a run with two leases and an idempotency key in
// Apply: decoding, checks, tables, indexes, audit, events and fingerprint.
func BenchmarkApplyGrant(b *testing.B) { benchApply(b, benchGrant) }

// BenchmarkApplyOneLease measures one grant of one lease.
func BenchmarkApplyOneLease(b *testing.B) {
	benchApply(b, func(n int) GrantLeases {
		c := benchGrant(n)
		c.Run, c.Idem, c.Items = nil, Idem{}, c.Items[:1]
		return c
	})
}

func benchApply(b *testing.B, grant func(int) GrantLeases) {
	b.Helper()
	entry, apply := benchLoaded(b, grant)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += benchGroup {
		b.StopTimer()
		l := entry(i)
		b.StartTimer()
		apply(l)
	}
}

// BenchmarkApplyLife measures the whole life of such a run: granted, bound, result, torn down.
func BenchmarkApplyLife(b *testing.B) {
	apply := benchMachine(b)
	b.ReportAllocs()
	for i := 0; i < b.N; i += benchGroup {
		var grants, bounds, ends []Command
		for j := range benchGroup {
			grants = append(grants, benchGrant(i+j))
		}
		for j, res := range apply(grants...) {
			if res.Problem != nil {
				b.Fatal(res.Problem)
			}
			cell := benchGrant(i + j).Cell
			epoch := uint64(2*(i+j) + 1)
			bound, end := ReportCell{Cell: cell, Epoch: 1}, ReportCell{Cell: cell, Epoch: 1}
			for n, id := range res.Leases {
				bound.Bound = append(bound.Bound, api.BoundReport{LeaseID: id, Generation: 1, Epoch: epoch + uint64(n)})
				end.Ended = append(end.Ended, api.EndedReport{LeaseID: id, Epoch: epoch + uint64(n), State: api.LeaseTornDown})
			}
			end.Runs = []api.RunReport{{RunID: res.Run, Attempt: 1, State: api.RunSucceeded}}
			bounds, ends = append(bounds, bound), append(ends, end)
		}
		apply(bounds...)
		for _, res := range apply(ends...) {
			if res.Problem != nil || len(res.Refused) > 0 {
				b.Fatal(res)
			}
		}
	}
}

// benchLoaded returns a machine that holds 20,000 leases, and what makes and applies entries.
func benchLoaded(b *testing.B, grant func(int) GrantLeases) (entry func(i int) *raft.Log, apply func(*raft.Log)) {
	b.Helper()
	m := New(Options{Log: hclog.NewNullLogger()})
	index := uint64(0)
	encode := func(cs ...Command) *raft.Log {
		data, err := EncodeEntry(Entry{Tick: api.Tick(index), Wall: startWall, Commands: cs})
		if err != nil {
			b.Fatal(err)
		}
		index++
		return &raft.Log{Index: index, Data: data}
	}
	apply = func(l *raft.Log) {
		res, ok := m.Apply(l).([]Result)
		if !ok || res[len(res)-1].Problem != nil {
			b.Fatal(res)
		}
	}
	apply(encode(InitCluster{ClusterID: "g", Providers: []api.Provider{{ID: "aws", Enabled: true}}},
		CreateTenant{Tenant: "acme", Quota: api.NoQuota()}))
	for i := range benchCells {
		c := api.CellID(fmt.Sprintf("aws-%d", i))
		apply(encode(register("aws", c, "agent-1"),
			ReportCell{Cell: c, Epoch: 1, Inventory: &api.InventoryReport{Capacity: api.Resources{CPU: api.MaxAmount, Mem: api.MaxAmount}}},
			ChangeHealth{Changes: []HealthChange{{Cell: c, Epoch: 1, Healthy: yes, Outbound: yes}}}))
	}
	entry = func(i int) *raft.Log {
		var cs []Command
		for j := range benchGroup {
			cs = append(cs, grant(i+j+1<<24))
		}
		return encode(cs...)
	}
	for i := range 10_000 / benchGroup {
		var cs []Command
		for j := range benchGroup {
			cs = append(cs, benchGrant(i*benchGroup+j))
		}
		apply(encode(cs...))
	}
	return entry, apply
}

// BenchmarkEncodeEntry measures what a leader pays to write such a grant.
func BenchmarkEncodeEntry(b *testing.B) {
	var cs []Command
	for j := range benchGroup {
		cs = append(cs, benchGrant(j))
	}
	b.ReportAllocs()
	for i := 0; i < b.N; i += benchGroup {
		if _, err := EncodeEntry(Entry{Commands: cs}); err != nil {
			b.Fatal(err)
		}
	}
}
