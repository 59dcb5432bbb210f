package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/harness"
)

// failover: from kill -9 of the leader to the next acknowledged lease, as a client with
// warm connections sees it.
func (b *bench) failover(ctx context.Context) error {
	b.title("fail-over: kill -9 of the leader to the next acknowledged lease")
	return b.cluster(ctx, 3, func(c *harness.Cluster) error {
		one, err := c.Client(ctx, 30*time.Second)
		if err != nil {
			return err
		}
		var gaps []time.Duration
		for range 15 {
			gap, err := b.killOnce(ctx, c, one)
			if err != nil {
				return err
			}
			gaps = append(gaps, gap)
		}
		b.say("%s   aim: median under 2 s, no error at the client (Nomad: 3.15 s)", spread(gaps))
		b.say("made of: the client's connection breaking, a follower's closed connection to the dead leader and its refused")
		b.say("redial, one election (two fsyncs), a barrier and a first entry, then an ordinary admission")
		return one.Close()
	})
}

func ask(ctx context.Context, one *client.Client) error {
	_, err := one.RequestLeases(ctx, api.LeaseRequest{
		Provider: "local", Tenant: "dev", TTLMs: 1000, Resources: api.Resources{Mem: 4096},
	}, api.WriteOptions{})
	return err
}

func (b *bench) killOnce(ctx context.Context, c *harness.Cluster, one *client.Client) (time.Duration, error) {
	for range 3 { // warm connections, as a busy client has
		if err := ask(ctx, one); err != nil {
			return 0, err
		}
	}
	leader, err := c.Leader(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := syscall.Kill(leader.PID, syscall.SIGKILL); err != nil {
		return 0, fmt.Errorf("kill %s: %w", leader.Name, err)
	}
	if err := ask(ctx, one); err != nil {
		return 0, fmt.Errorf("the client saw an error: %w", err)
	}
	gap := time.Since(began)
	return gap, c.Restart(ctx, leader.Name)
}

// both: the leader and a cell die in the same instant; how long until the new leader has
// marked the cell.
func (b *bench) both(ctx context.Context) error {
	b.title("leader and a cell killed in the same instant, to the cell being marked")
	return b.cluster(ctx, 3, func(c *harness.Cluster) error {
		one, err := c.Client(ctx, 30*time.Second)
		if err != nil {
			return err
		}
		var took []time.Duration
		for range 3 {
			d, err := b.killBoth(ctx, c, one)
			if err != nil {
				return err
			}
			took = append(took, d)
		}
		b.say("%s   aim: within the heartbeat limit (3 s here) plus 2 s (Nomad: 302.8 s)", spread(took))
		return one.Close()
	})
}

func (b *bench) killBoth(ctx context.Context, c *harness.Cluster, one *client.Client) (time.Duration, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return 0, err
	}
	s, err := c.Status(ctx)
	if err != nil {
		return 0, err
	}
	cell := s.Cells[0]
	began := time.Now()
	for _, pid := range []int{leader.PID, cell.PID} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return 0, fmt.Errorf("kill %d: %w", pid, err)
		}
	}
	for {
		list, err := one.ListCells(ctx, "", api.ReadOptions{})
		if err != nil {
			return 0, err
		}
		marked := false
		for _, shown := range list.Cells {
			marked = marked || string(shown.CellID) == cell.Name && !shown.Ready
		}
		if marked {
			break
		}
		if err := harness.Pause(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
	}
	took := time.Since(began)
	if err := c.Restart(ctx, leader.Name); err != nil {
		return 0, err
	}
	return took, c.Restart(ctx, cell.Name)
}
