package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/bench/internal/load"
	"github.com/grafos/grafos/integration/internal/harness"
)

const (
	// admitTTL is a lease's: what is admitted is torn down by itself after it, so that in the
	// steady state as much ends as begins.
	admitTTL = 3 * time.Second
	admitMem = 4096
	// batchOf is how many requests a batch has.
	batchOf = 64
	// admitConns is how many clients share the load, as many as of etcd's.
	admitConns = etcdConns
	admitReps  = 3
)

// admissions: the whole way of a lease request (HTTPS, decision, Raft with fsync on three
// nodes, binding on a cell, token back, teardown) with many clients at once.
func (b *bench) admissions(ctx context.Context) error {
	b.title("admissions, the whole way: HTTPS, decision, 3 disks, binding, token, teardown; etcd: puts of 256 bytes")
	return b.cluster(ctx, 3, func(c *harness.Cluster) (err error) {
		var open closing
		defer open.end(&err)
		e, err := b.etcd(ctx)
		if err != nil {
			return err
		}
		open.add(e.close)
		d, err := newDoor(ctx, c)
		if err != nil {
			return err
		}
		open.add(d.close)
		if err := b.admitAlone(ctx, d); err != nil {
			return err
		}
		return b.admitBeside(ctx, d, e)
	})
}

// admitAlone measures admissions at fewer clients, without a peer.
func (b *bench) admitAlone(ctx context.Context, d *door) error {
	var loads []load.Spec
	for _, n := range []int{1, 16, 64} {
		loads = append(loads, load.Spec{Outstanding: n, Warm: admitTTL, Window: 3 * time.Second})
	}
	all := []contender{{name: "admissions", run: d.admit, pids: d.pids, rest: time.Second}}
	results, err := b.contest(ctx, 1, loads, all)
	if err != nil {
		return err
	}
	b.table(results, loads, all)
	b.say("aim at 64 clients: at least 1,000/s, under 1 ms of server CPU each (Nomad: 271 to 346 job registrations/s at 3.8 to 5.8 ms)")
	return nil
}

func (b *bench) admitBeside(ctx context.Context, d *door, e *etcd) error {
	const clients = 256
	loads := []load.Spec{{Outstanding: clients, Warm: admitTTL + 500*time.Millisecond, Window: 8 * time.Second}}
	// The leases that are left end before others are measured.
	rest := admitTTL + 500*time.Millisecond
	all := []contender{
		{name: "admissions", run: d.admit, pids: d.pids, rest: rest},
		{name: "in batches of 64", run: d.admitBatches(clients), pids: d.pids, rest: rest},
		{name: "in batches of 64, 1024 requests at a time", run: d.admitBatches(4 * clients / batchOf), pids: d.pids, rest: rest},
		{name: "in batches of 64, 256 requests at a time", run: d.admitBatches(clients / batchOf), pids: d.pids, rest: rest},
		{name: "etcd puts", run: e.puts, pids: e.pids},
	}
	results, err := b.contest(ctx, admitReps, loads, all)
	if err != nil {
		return err
	}
	b.table(results, loads, all)
	b.say("256 clients have a batch each, or fewer clients have 1024 or 256 requests under way together;")
	b.say("a batch's latency is that of its 64 answers together; CPU is of the three schedulers (cells apart), or of etcd's members, in the window")
	rate := func(name string) float64 { mid, _, _ := results[name][clients].PerSecond(); return mid }
	cpu := func(name string) float64 { return load.Median(results[name][clients].cpu) }
	puts := rate("etcd puts")
	b.ratio("admissions", clients, rate("admissions"), puts, 0.4)
	b.atMost("admissions-scheduler-cpu-ms", clients, cpu("admissions"), 0.35)
	for i, want := range []float64{1.2, 0, 0} {
		name, label := all[i+1].name, []string{"admissions-batch64", "admissions-batch64-1024-requests", "admissions-batch64-256-requests"}[i]
		b.ratio(label, clients, rate(name), puts, want)
		if want > 0 {
			b.atMost(label+"-scheduler-cpu-ms", clients, cpu(name), 0.1)
		}
	}
	return nil
}

// door is the way into a cluster of ours: clients that begin with its leader, and clients of
// each scheduler alone.
type door struct {
	clients    []*client.Client
	each       []*client.Client
	schedulers []int // their processes
	names      []string
}

func newDoor(ctx context.Context, c *harness.Cluster) (*door, error) {
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	d := &door{}
	urls := leaderFirst(s)
	for range admitConns {
		one, err := c.Client(ctx, 30*time.Second, urls...)
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		d.clients = append(d.clients, one)
	}
	for _, n := range s.Schedulers {
		one, err := c.Client(ctx, 30*time.Second, n.URL)
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		d.each = append(d.each, one)
		d.schedulers, d.names = append(d.schedulers, n.PID), append(d.names, n.Name)
	}
	return d, nil
}

func (d *door) close() error {
	var errs []error
	for _, one := range append(d.clients, d.each...) {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

func (d *door) pids() []int { return d.schedulers }

func leaseRequest(ttl time.Duration) api.LeaseRequest {
	return api.LeaseRequest{
		Provider: "local", Tenant: "dev", TTLMs: ttl.Milliseconds(), Resources: api.Resources{Mem: admitMem},
	}
}

func (d *door) admit(ctx context.Context, s load.Spec) (load.Run, error) {
	return load.Do(ctx, s, func(ctx context.Context, worker, _ int) error {
		_, err := d.clients[worker%len(d.clients)].RequestLeases(ctx, leaseRequest(admitTTL), api.WriteOptions{})
		return err
	}), nil
}

// admitBatches keeps so many batches outstanding; an answer without a lease fails its batch.
func (d *door) admitBatches(outstanding int) func(context.Context, load.Spec) (load.Run, error) {
	batch := api.BatchRequest{Requests: make([]api.BatchItem, batchOf)}
	for i := range batch.Requests {
		batch.Requests[i].LeaseRequest = leaseRequest(admitTTL)
	}
	return func(ctx context.Context, s load.Spec) (load.Run, error) {
		s.Outstanding = outstanding
		run := load.Do(ctx, s, func(ctx context.Context, worker, _ int) error {
			a, err := d.clients[worker%len(d.clients)].RequestBatch(ctx, batch, api.WriteOptions{})
			if err != nil {
				return err
			}
			for i, one := range a.Answers {
				if one.Problem != nil {
					return fmt.Errorf("request %d of the batch: %w", i, one.Problem)
				}
			}
			return nil
		})
		run.Each = batchOf
		return run, nil
	}
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
