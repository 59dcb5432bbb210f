package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/mutant"
	"github.com/grafos/grafos/fsm"
)

// enqueueTimeout bounds how long an entry may wait for raft's main loop.
const enqueueTimeout = 5 * time.Second

// Propose puts an entry into the log and returns its results when it is applied here. It
// refuses with no_leader when the entry was surely not taken, and with outcome_unknown when
// leadership moved before its fate was known.
func (n *Node) Propose(ctx context.Context, e fsm.Entry) ([]fsm.Result, error) {
	if err := n.checkLevel(e); err != nil {
		return nil, err
	}
	b, err := fsm.EncodeEntry(e)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, api.Refuse(api.NoLeader, "the entry was not proposed: %v", ctx.Err())
	}
	var f raft.ApplyFuture
	if err := n.await(ctx, func() raft.Future {
		f = n.raft.Apply(b, enqueueTimeout)
		return f
	}); err != nil {
		return nil, proposeError(err)
	}
	results, ok := f.Response().([]fsm.Result)
	if !ok {
		return nil, api.Refuse(api.OutcomeUnknown, "this scheduler stopped while it applied entry %d", f.Index())
	}
	return results, nil
}

// checkLevel refuses what some member may not know yet.
func (n *Node) checkLevel(e fsm.Entry) error {
	at := n.machine.View().Level()
	for _, c := range e.Commands {
		if needs := fsm.LevelOf(c); needs > at {
			return api.Refuse(api.Conflict, "a command of kind %d needs feature level %d, the cluster is at %d", c.Kind(), needs, at).
				WithHint("the level is raised when every scheduler runs a release that knows it: grafos operator raft list")
		}
	}
	return nil
}

// raiseLevel commits that every member knows a level.
func (n *Node) raiseLevel(ctx context.Context, level uint32) error {
	cmd := fsm.RaiseLevel{Level: fsm.Level(level)}
	results, err := n.Propose(ctx, fsm.Entry{Wall: n.cfg.Clock.Wall().UnixMilli(), Commands: []fsm.Command{cmd}})
	if err != nil {
		return err
	}
	if results[0].Problem != nil {
		return results[0].Problem
	}
	n.log.Info("feature level raised: every scheduler knows it", "level", level)
	return nil
}

// await calls raft and waits for its answer without outliving ctx: a future resolves only
// when its entry commits or leadership ends. Close waits for the calls that were left behind.
func (n *Node) await(ctx context.Context, call func() raft.Future) error {
	return n.aside(ctx, func() error { return call().Error() })
}

// aside is await for any call.
func (n *Node) aside(ctx context.Context, call func() error) error {
	done := make(chan error, 1)
	if !n.calls.start(func() { done <- call() }) {
		return raft.ErrRaftShutdown
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func proposeError(err error) *api.Error {
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) ||
		errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return api.Refuse(api.NoLeader, "this scheduler does not lead: %v", err)
	}
	return api.Refuse(api.OutcomeUnknown, "leadership moved before the outcome was known: %v", err).
		WithHint("repeat the request with the same idempotency key")
}

// Barrier commits an entry and returns its results: then everything that was committed before
// it is applied here. It is no barrier of raft's: the state machine never reaches the index of
// one, and a read at that index would wait for the next entry.
func (n *Node) Barrier(ctx context.Context, e fsm.Entry) ([]fsm.Result, error) {
	term := n.raft.CurrentTerm()
	var results []fsm.Result
	if !mutant.On(mutant.SkipBarrier) {
		var err error
		if results, err = n.Propose(ctx, e); err != nil {
			return nil, fmt.Errorf("barrier: %w", err)
		}
	}
	n.leadership.passed.Store(term) // an older one than the barrier's own opens no gate
	return results, nil
}
