package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// admissions: the whole way of a lease request (HTTPS, decision, Raft with fsync on three
// nodes, binding on a cell, token back) with many clients at once.
func (b *bench) admissions(ctx context.Context) error {
	b.title("admissions, the whole way: HTTPS, decision, 3 disks, binding, token")
	return b.cluster(ctx, 3, func(c *harness.Cluster) error {
		for _, clients := range []int{1, 16, 64, 256} {
			if err := b.admit(ctx, c, clients); err != nil {
				return err
			}
		}
		b.say("aim at 64 clients: at least 1,000/s, under 1 ms of server CPU each (Nomad: 271 to 346 job registrations/s at 3.8 to 5.8 ms)")
		return nil
	})
}

const admitFor = 8 * time.Second

func (b *bench) admit(ctx context.Context, c *harness.Cluster, clients int) error {
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	urls := leaderFirst(s)
	one, err := c.Client(ctx, 30*time.Second, urls...)
	if err != nil {
		return err
	}
	before, err := schedulerCPU(s)
	if err != nil {
		return err
	}
	cellsBefore, err := cellCPU(s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var mu sync.Mutex
	var took []time.Duration
	var faults []error
	var wg sync.WaitGroup
	began := time.Now()
	for range clients {
		wg.Go(func() {
			for time.Since(began) < admitFor {
				at := time.Now()
				_, err := one.RequestLeases(ctx, api.LeaseRequest{
					Provider: "local", Tenant: "dev", TTLMs: 2000, Resources: api.Resources{Mem: 4096},
				}, api.WriteOptions{})
				mu.Lock()
				took = append(took, time.Since(at))
				if err != nil {
					faults = append(faults, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	after, err := schedulerCPU(s)
	if err != nil {
		return err
	}
	cellsAfter, err := cellCPU(s)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		b.say("%d of %d requests failed; the first: %v", len(faults), len(took), faults[0])
	}
	n := len(took) - len(faults)
	if n == 0 {
		return errors.New("no request was admitted")
	}
	b.say("%4d clients: %6.0f/s   p50 %s  p99 %s   CPU each: %.2f ms on the 3 schedulers, %.2f ms on the cells",
		clients, float64(n)/elapsed.Seconds(), short(percentile(took, 50)), short(percentile(took, 99)),
		float64((after-before).Microseconds())/1000/float64(n), float64((cellsAfter-cellsBefore).Microseconds())/1000/float64(n))
	return one.Close()
}

// leaderFirst puts the leader's address first, where a client begins.
func leaderFirst(s *harness.Status) []string {
	var urls []string
	for _, n := range s.Schedulers {
		if n.Role == "leader" {
			urls = append([]string{n.URL}, urls...)
		} else {
			urls = append(urls, n.URL)
		}
	}
	return urls
}

func schedulerCPU(s *harness.Status) (time.Duration, error) {
	var sum time.Duration
	for _, n := range s.Schedulers {
		d, err := cpuTime(n.PID)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

func cellCPU(s *harness.Status) (time.Duration, error) {
	var sum time.Duration
	for _, n := range s.Cells {
		d, err := cpuTime(n.PID)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}
