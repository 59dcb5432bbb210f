//go:build linux

package fsm

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// BenchmarkApplyAdmission measures what Apply costs for a lease that is granted, bound and, when
// its time is over, torn down by its cell: entries of 32, three cells, one tenant, 30,000 leases
// that live at the same time. A busy leader fills its entries: one is of 512. The figure to go by
// is the processor's time, garbage collection included.
func BenchmarkApplyAdmission(b *testing.B) {
	b.Run("young", func(b *testing.B) { benchAdmission(b, 32, 60_000) })
	b.Run("full", func(b *testing.B) { benchAdmission(b, 32, MaxKeys+100_000) })
	b.Run("busy", func(b *testing.B) { benchAdmission(b, 512, MaxKeys+100_000) })
}

// benchAdmission measures entries of so many when so many leases were granted before.
func benchAdmission(b *testing.B, group, before int) {
	b.Helper()
	const live = 30_000
	m := New(Options{Log: hclog.NewNullLogger()})
	index := uint64(0)
	encode := func(cs ...Command) *raft.Log {
		data, err := EncodeEntry(Entry{Tick: api.Tick(index) * 1e6, Wall: startWall + int64(index), Commands: cs})
		if err != nil {
			b.Fatal(err)
		}
		index++
		return &raft.Log{Index: index, Data: data}
	}
	var spent int64
	apply := func(l *raft.Log) {
		began := cpuNanos()
		out := m.Apply(l)
		spent += cpuNanos() - began
		results, ok := out.([]Result)
		if !ok {
			b.Fatal(out)
		}
		for _, r := range results {
			if r.Problem != nil || len(r.Refused) > 0 {
				b.Fatal(r)
			}
		}
	}
	apply(encode(InitCluster{ClusterID: "g", Providers: []api.Provider{{ID: "aws", Enabled: true}}},
		CreateTenant{Tenant: "acme", Quota: api.NoQuota()}))
	for i := range 3 {
		c := api.CellID(fmt.Sprintf("aws-%d", i))
		apply(encode(register("aws", c, "agent-1"),
			ReportCell{Cell: c, Epoch: 1, Inventory: &api.InventoryReport{Capacity: api.Resources{CPU: api.MaxAmount, Mem: api.MaxAmount}}},
			ChangeHealth{Changes: []HealthChange{{Cell: c, Epoch: 1, Healthy: yes, Outbound: yes}}}))
	}
	// report makes one command a cell.
	report := func(from int, add func(*ReportCell, api.LeaseID, uint64)) *raft.Log {
		cs := make([]Command, 3)
		for c := range cs {
			r := ReportCell{Cell: api.CellID(fmt.Sprintf("aws-%d", c)), Epoch: 1}
			for n := from; n < from+group; n++ {
				if n%3 == c {
					add(&r, benchLease(n), uint64(n+1))
				}
			}
			cs[c] = r
		}
		return encode(cs...)
	}
	next := 0
	round := func() {
		cs := make([]Command, group)
		for i := range cs {
			cs[i] = admission(next + i)
		}
		apply(encode(cs...))
		apply(report(next, func(r *ReportCell, id api.LeaseID, epoch uint64) {
			r.Bound = append(r.Bound, api.BoundReport{LeaseID: id, Generation: 1, Epoch: epoch, Coordinate: "https://10.0.0.1:7500/v1/leases/" + string(id)})
		}))
		if next >= live {
			apply(report(next-live/group*group, func(r *ReportCell, id api.LeaseID, epoch uint64) {
				r.Ended = append(r.Ended, api.EndedReport{LeaseID: id, Epoch: epoch, State: api.LeaseTornDown, Reason: ReasonExpired})
			}))
		}
		next += group
	}
	for next < before {
		round()
	}
	b.ReportAllocs()
	b.ResetTimer()
	spent = 0
	for i := 0; i < b.N; i += group {
		round()
	}
	b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
}

func cpuNanos() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func benchLease(n int) api.LeaseID {
	return api.LeaseID(fmt.Sprintf("l-%08x%08x", uint32(n)*2654435761, n))
}

func admission(n int) GrantLeases {
	return GrantLeases{
		Actor: "tenant/acme", Tenant: "acme", Provider: "aws", Cell: api.CellID(fmt.Sprintf("aws-%d", n%3)), CellEpoch: 1,
		Priority: api.PriorityStandard, TTLMs: 3_000, Stamp: api.Stamp{BootID: "0f5c-4c1d-8a55-0123456789ab", BootTime: int64(n) + 5e12},
		Idem:  Idem{Scope: "tenant/acme", Key: fmt.Sprintf("%08x-0000-4000-a000-%012x", uint32(n)*2654435761, n), Hash: "00112233445566770011223344556677"},
		Items: []GrantItem{{ID: benchLease(n), Kind: api.KindMem, Use: api.UseRegion, Amount: 1 << 20}},
	}
}
