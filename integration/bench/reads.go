package main

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/bench/internal/load"
	"github.com/grafos/grafos/integration/internal/harness"
)

const readReps = 3

// reads: one lease by its id, verified and stale, spread over the three schedulers, against
// etcd's gets of a key.
func (b *bench) reads(ctx context.Context) error {
	b.title("reads: GET /api/v1/leases/{id} on 3 schedulers; etcd: gets of a key with 256 bytes on 3 members")
	return b.cluster(ctx, 3, func(c *harness.Cluster) (err error) {
		var open closing
		defer open.end(&err)
		e, err := b.etcd(ctx)
		if err != nil {
			return err
		}
		open.add(e.close)
		// Every key must be there.
		if _, err := e.puts(ctx, load.Spec{Outstanding: 64, Window: time.Second}); err != nil {
			return err
		}
		d, err := newDoor(ctx, c)
		if err != nil {
			return err
		}
		open.add(d.close)
		const clients = 256
		ids, err := d.lease(ctx, clients)
		if err != nil {
			return err
		}
		loads := []load.Spec{{Outstanding: clients, Warm: 500 * time.Millisecond, Window: 2500 * time.Millisecond}}
		all := []contender{
			{name: "linearizable", run: d.read(ids, api.Linearizable), pids: d.pids},
			{name: "stale", run: d.read(ids, api.Stale), pids: d.pids},
			{name: "etcd linearizable", run: e.gets("get"), pids: e.pids},
			{name: "etcd serializable", run: e.gets("get-serializable"), pids: e.pids},
		}
		results, err := b.contest(ctx, readReps, loads, all)
		if err != nil {
			return err
		}
		b.table(results, loads, all)
		rate := func(name string) float64 { mid, _, _ := results[name][clients].PerSecond(); return mid }
		b.ratio("reads-linearizable", clients, rate("linearizable"), rate("etcd linearizable"), 1)
		b.say("the aim of stale reads is against etcd's linearizable gets; its serializable ones are as stale as ours, and stand beside")
		b.ratio("reads-stale", clients, rate("stale"), rate("etcd linearizable"), 2)
		b.ratio("reads-stale-vs-serializable", clients, rate("stale"), rate("etcd serializable"), 0)
		return nil
	})
}

// lease takes n leases that last for as long as they are read.
func (d *door) lease(ctx context.Context, n int) ([]api.LeaseID, error) {
	ids := make([]api.LeaseID, n)
	for i := range ids {
		set, err := d.clients[0].RequestLeases(ctx, leaseRequest(time.Hour), api.WriteOptions{})
		if err != nil {
			return nil, err
		}
		ids[i] = set.Leases[0].ID
	}
	return ids, nil
}

// read makes a load of reads; every worker asks one of the three schedulers.
func (d *door) read(ids []api.LeaseID, how api.Consistency) func(context.Context, load.Spec) (load.Run, error) {
	return func(ctx context.Context, s load.Spec) (load.Run, error) {
		return load.Do(ctx, s, func(ctx context.Context, worker, n int) error {
			_, err := d.each[worker%len(d.each)].ShowLease(ctx, ids[(worker+n*61)%len(ids)], api.ReadOptions{Consistency: how})
			return err
		}), nil
	}
}
