package server

import (
	"runtime"
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
