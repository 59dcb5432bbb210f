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
