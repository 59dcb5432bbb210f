package main

import (
	"context"
	"time"

	"github.com/grafos/grafos/integration/bench/internal/load"
)

// The log stores.
const (
	boltdb = "boltdb"
	wal    = "wal"
)

// The aims of the commit path, by log store and by how many commands are outstanding.
func commitAims() map[string]map[int]float64 {
	return map[string]map[int]float64{
		boltdb: {1: 0.7, 16: 1, 64: 1.7, 256: 3, 1024: 4},
		wal:    {1: 1.3, 16: 1.8, 64: 2.7, 256: 4.5, 1024: 6},
	}
}

func logStores() []string { return []string{boltdb, wal} }

func commitLoads() []load.Spec {
	var all []load.Spec
	for _, n := range []int{1, 16, 64, 256, 1024} {
		all = append(all, load.Spec{Outstanding: n, Warm: 300 * time.Millisecond, Window: 2 * time.Second})
	}
	return all
}

const commitReps = 3

// commit: how fast commands of 256 bytes become applied, from the leader's planner on,
// against etcd's puts of 256 bytes.
func (b *bench) commit(ctx context.Context) (err error) {
	b.title("commit path: commands of 256 bytes, planner to applied, 3 members, TLS, fsync; etcd: puts of 256 bytes")
	var open closing
	defer open.end(&err)
	var all []contender
	for _, kind := range logStores() {
		f, err := b.members(ctx, kind, false)
		if err != nil {
			return err
		}
		open.add(f.close)
		all = append(all, contender{name: kind, run: f.inLeader, pids: f.pids})
	}
	e, err := b.etcd(ctx)
	if err != nil {
		return err
	}
	open.add(e.close)
	all = append(
		all, contender{name: "etcd", run: e.puts, pids: e.pids},
		contender{name: "etcd in process", run: e.inLeader, pids: e.pids},
	)
	results, err := b.contest(ctx, commitReps, commitLoads(), all)
	if err != nil {
		return err
	}
	b.table(results, commitLoads(), all)
	b.say("ours is SetQuota, from goroutines inside the leader (its CPU holds theirs); etcd's puts come from its client in a process")
	b.say("of its own, over TLS to the leader; 'in process' is etcd without its client and gRPC: what its own commit path does")
	b.commitRatios(results)
	return nil
}

func (b *bench) commitRatios(results map[string]map[int]*result) {
	for _, kind := range logStores() {
		for _, l := range commitLoads() {
			n := l.Outstanding
			mine, _, _ := results[kind][n].PerSecond()
			puts, _, _ := results["etcd"][n].PerSecond()
			inside, _, _ := results["etcd in process"][n].PerSecond()
			b.ratio("commit-"+kind, n, mine, puts, commitAims()[kind][n])
			b.ratio("commit-"+kind+"-both-in-process", n, mine, inside, 0)
		}
	}
}

const (
	tlsReps = 5
	tlsCost = 15 // percent of the throughput at 256 clients
)

// tlsCosts: the commit path with and without TLS between the members.
func (b *bench) tlsCosts(ctx context.Context) (err error) {
	b.title("TLS between the members: commit path at 256 outstanding with and without it")
	var open closing
	defer open.end(&err)
	var all []contender
	for _, plain := range []bool{false, true} {
		f, err := b.members(ctx, boltdb, plain)
		if err != nil {
			return err
		}
		open.add(f.close)
		name := map[bool]string{false: "tls", true: "plain"}[plain]
		all = append(all, contender{name: name, run: f.inLeader, pids: f.pids})
	}
	loads := []load.Spec{{Outstanding: 256, Warm: 300 * time.Millisecond, Window: 2 * time.Second}}
	results, err := b.contest(ctx, tlsReps, loads, all)
	if err != nil {
		return err
	}
	b.table(results, loads, all)
	with, _, _ := results["tls"][256].PerSecond()
	without, _, _ := results["plain"][256].PerSecond()
	cost := 100 * (1 - with/without)
	b.say("tls-cost clients=256 tls=%.0f plain=%.0f cost=%.1f%%", with, without, cost)
	b.atMost("tls-cost-percent", 256, cost, tlsCost)
	return nil
}
