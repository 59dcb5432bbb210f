package server

import (
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
)

// BenchmarkRequestLeases is the hot path over loopback TLS with a service that costs
// nothing: what client, HTTP/2, guard, checks and encoding take. cpu-us/op is the CPU of
// both sides together.
func BenchmarkRequestLeases(b *testing.B) {
	n := start(b, nil)
	n.fake.leases = api.GrantSet{Index: 1, CellID: "aws-1", Leases: []api.Grant{{Lease: filled[api.Lease](), Token: "token"}}}
	c := dial(b, api.RoleTenant, n)
	if _, err := c.RequestLeases(b.Context(), aLease(), api.WriteOptions{}); err != nil {
		b.Fatal(err)
	}
	b.Run("one", func(b *testing.B) {
		measure(b, func() {
			for b.Loop() {
				request(b, c)
			}
		})
	})
	b.Run("many", func(b *testing.B) {
		b.SetParallelism(16)
		measure(b, func() {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					request(b, c)
				}
			})
		})
	})
	// As bindings are reported: many answers at a time.
	b.Run("together", func(b *testing.B) {
		const clients = 64
		n.fake.together = &barrier{of: clients}
		measure(b, func() {
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					for range b.N/clients + 1 {
						request(b, c)
					}
				})
			}
			wg.Wait()
		})
	})
}

// BenchmarkReadLease is the same for the read of a lease, one at a time and as 256 clients of
// three schedulers ask.
func BenchmarkReadLease(b *testing.B) {
	const clients = 256
	var each []*client.Client
	for range 3 {
		n := start(b, nil)
		n.fake.lease = &api.LeaseAnswer{Index: 1, Lease: api.Grant{Lease: filled[api.Lease]()}}
		each = append(each, dial(b, api.RoleTenant, n))
	}
	read := func(worker int) {
		if _, err := each[worker%len(each)].ShowLease(b.Context(), "l-17", api.ReadOptions{Consistency: api.Stale}); err != nil {
			b.Error(err)
			runtime.Goexit()
		}
	}
	for i := range each {
		read(i)
	}
	b.Run("one", func(b *testing.B) {
		measure(b, func() {
			for b.Loop() {
				read(0)
			}
		})
	})
	b.Run("many", func(b *testing.B) {
		measure(b, func() {
			var wg sync.WaitGroup
			for w := range clients {
				wg.Go(func() {
					for range b.N/clients + 1 {
						read(w)
					}
				})
			}
			wg.Wait()
		})
	})
}

// BenchmarkRequestBatch is the same for batches of 64; cpu-us/item is the CPU of both sides for
// each request of a batch.
func BenchmarkRequestBatch(b *testing.B) {
	const each = 64
	n := start(b, nil)
	grant := api.GrantSet{Index: 1, CellID: "aws-1", Leases: []api.Grant{{Lease: filled[api.Lease](), Token: "token"}}}
	n.fake.batch = api.BatchAnswer{Index: 1}
	in := api.BatchRequest{}
	for range each {
		n.fake.batch.Answers = append(n.fake.batch.Answers, api.BatchResult{Grant: &grant, IdempotencyKey: "key"})
		in.Requests = append(in.Requests, api.BatchItem{LeaseRequest: aLease()})
	}
	c := dial(b, api.RoleTenant, n)
	before := cpu(b)
	for b.Loop() {
		if _, err := c.RequestBatch(b.Context(), in, api.WriteOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/1e3/float64(b.N)/each, "cpu-us/item")
}

func request(b *testing.B, c *client.Client) {
	b.Helper()
	if _, err := c.RequestLeases(b.Context(), aLease(), api.WriteOptions{}); err != nil {
		b.Error(err)
		runtime.Goexit()
	}
}

// measure reports the CPU time of the process for each operation.
func measure(b *testing.B, run func()) {
	b.Helper()
	b.ReportAllocs()
	before := cpu(b)
	run()
	b.ReportMetric(float64(cpu(b)-before)/1e3/float64(b.N), "cpu-us/op")
}

func cpu(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkHandler is the server's part alone, without TLS and HTTP/2.
func BenchmarkHandler(b *testing.B) {
	h, r := handlerAndRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		h(r())
	}
}
