package chaos

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/harness"
)

// restart is what heals a scheduler that has ended.
func restart(nodes ...*fleet.Node) heal {
	return func(context.Context) error {
		var errs []error
		for _, n := range nodes {
			errs = append(errs, n.Start())
		}
		return errors.Join(errs...)
	}
}

func killLeader(ctx context.Context, r *run, _ fault) (heal, error) {
	n, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	return restart(n), n.Kill()
}

func killFollower(ctx context.Context, r *run, f fault) (heal, error) {
	n, err := r.follower(ctx, f)
	if err != nil {
		return nil, err
	}
	return restart(n), n.Kill()
}

// killTwo ends the leader and a follower: of three, nobody is left who may decide.
func killTwo(ctx context.Context, r *run, f fault) (heal, error) {
	leader, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	follower, err := r.follower(ctx, f)
	if err != nil {
		return nil, err
	}
	return restart(leader, follower), errors.Join(leader.Kill(), follower.Kill())
}

// restartLeader ends the leader as an operator does: it hands over first, and ends well.
func restartLeader(ctx context.Context, r *run, _ fault) (heal, error) {
	n, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	select {
	case <-n.Ended():
	case <-time.After(r.atEase(20 * time.Second)):
		return nil, fmt.Errorf("%s does not end when it is told to", n.Name)
	}
	if code := n.ExitCode(); code != 0 {
		r.load.book.fault("%s was told to end, and did with exit code %d", n.Name, code)
	}
	return restart(n), nil
}

func killCell(_ context.Context, r *run, f fault) (heal, error) {
	n := r.cell(f)
	return func(ctx context.Context) error { return r.restartCell(ctx, n) }, n.Kill()
}

// heartbeatLimit is fleet.HeartbeatLimit.
const heartbeatLimit = 3 * time.Second

// killBoth kills the leader and a cell at the same moment. The next leader knows from gossip
// when the cell was heard last, and marks it one heartbeat limit after that.
func killBoth(ctx context.Context, r *run, f fault) (heal, error) {
	leader, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	cell := r.cell(f)
	if err := errors.Join(leader.Kill(), cell.Kill()); err != nil {
		return nil, err
	}
	killed := time.Now()
	if err := r.marked(ctx, cell.Name); err != nil {
		return nil, err
	}
	took := time.Since(killed)
	r.t.Logf("cell %s was marked unhealthy %s after it and the leader were killed", cell.Name, took.Round(ms))
	if limit := heartbeatLimit + r.atEase(time.Second); took > limit {
		r.load.book.fault("cell %s was marked after %s, later than %s", cell.Name, took.Round(ms), limit)
	}
	return func(ctx context.Context) error {
		return errors.Join(leader.Start(), r.restartCell(ctx, cell))
	}, nil
}

// marked waits until the schedulers hold a cell for unhealthy.
func (r *run) marked(ctx context.Context, cell string) error {
	ctx, cancel := context.WithTimeout(ctx, r.atEase(20*time.Second))
	defer cancel()
	for {
		c, err := r.record(ctx, cell)
		if err == nil && !c.Readiness.HealthyCell && c.State == api.CellUnhealthy {
			return nil
		}
		if err := harness.Pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("cell %s is never marked unhealthy: it is %s", cell, c.State)
		}
	}
}
